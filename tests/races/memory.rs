//! Shared memory that records accesses: if two lanes access a word, one of them writing, with nothing between them that orders the two,
//! that is a race.

use super::value::Value;
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Two lanes, or invocations of a dispatch, access one word, at least one writing.
    Race,
    /// A read of workgroup memory that this workgroup has not written.
    Unwritten,
    /// Outside of an array or a binding.
    Beyond,
    /// A barrier that not all lanes of a workgroup reach.
    Divergence,
}

#[derive(Clone, Debug)]
pub struct Fault {
    pub kind: Kind,
    pub variable: String,
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in {}: {}", self.kind, self.variable, self.what)
    }
}

const NOBODY: u32 = u32::MAX;
const SEVERAL: u32 = u32::MAX - 1;

/// The accesses to a word since the last barrier.
#[derive(Clone, Copy)]
struct Touch {
    phase: u32,
    writer: u32,
    reader: u32,
    /// The workgroup that wrote it last.
    written_by: u32,
}

const UNTOUCHED: Touch = Touch { phase: 0, writer: NOBODY, reader: NOBODY, written_by: NOBODY };

impl Touch {
    /// The other lane, if this access is a race.
    fn note(&mut self, phase: u32, who: u32, writes: bool) -> Option<u32> {
        if self.phase != phase {
            *self = Touch { phase, written_by: self.written_by, ..UNTOUCHED };
        }
        let other = |one: u32| (one != NOBODY && one != who).then_some(one);
        let race = other(self.writer).or_else(|| other(self.reader).filter(|_| writes));
        match (writes, self.reader) {
            (true, _) => self.writer = who,
            (false, NOBODY) => self.reader = who,
            (false, reader) if reader != who => self.reader = SEVERAL,
            _ => {}
        }
        race
    }
}

/// Words with their accesses.
pub struct Words {
    pub words: Vec<u32>,
    touches: Vec<Touch>,
}

impl Words {
    pub fn new(words: Vec<u32>) -> Words {
        Words { touches: vec![UNTOUCHED; words.len()], words }
    }
}

/// The memory of a global variable.
pub enum Place {
    Uniform(Vec<u32>),
    /// A range of words of a buffer.
    Storage {
        buffer: usize,
        start: usize,
        len: usize,
    },
    Workgroup(Words),
    /// That many words per lane.
    Private {
        words: Vec<u32>,
        each: usize,
    },
}

pub struct Global {
    pub name: String,
    pub place: Place,
}

/// Lane and workgroup, both counted through the dispatch.
#[derive(Clone, Copy)]
pub struct Who {
    pub workgroup: u32,
    pub lane: u32,
    pub invocation: u32,
}

/// All memory of one dispatch.
pub struct Memory<'a> {
    pub buffers: &'a mut [Words],
    pub globals: Vec<Global>,
    /// The number of the dispatch, from 1: nothing orders accesses to storage within it.
    pub dispatch: u32,
    /// Increases at each barrier and with each workgroup.
    pub phase: u32,
    pub faults: Vec<Fault>,
}

impl Memory<'_> {
    pub fn fault(&mut self, kind: Kind, variable: &str, what: impl FnOnce() -> String) {
        // The first fault of each kind is enough.
        if !self.faults.iter().any(|fault| fault.kind == kind && fault.variable == variable) {
            self.faults.push(Fault { kind, variable: variable.into(), what: what() });
        }
    }

    /// Private memory is zero at the start of a workgroup.
    pub fn begin_workgroup(&mut self) {
        for global in &mut self.globals {
            if let Place::Private { words, .. } = &mut global.place {
                words.fill(0);
            }
        }
    }

    pub fn load(&mut self, global: usize, offset: u32, n: u32, who: Who) -> Value {
        let (at, n) = (offset as usize, n as usize);
        let Global { name, place } = &mut self.globals[global];
        let shared = matches!(place, Place::Workgroup(_));
        let (words, start, phase, id) = match place {
            Place::Workgroup(words) if at + n > words.words.len() => {
                let name = name.clone();
                self.fault(Kind::Beyond, &name, || format!("word {at} read by lane {}", who.lane));
                return Value::made(n, |_| 0);
            }
            Place::Uniform(words) => return Value::of(&words[at..at + n]),
            Place::Storage { buffer, start, len } if at + n <= *len => {
                (&mut self.buffers[*buffer], *start, self.dispatch, who.invocation)
            }
            Place::Workgroup(words) => (words, 0, self.phase, who.lane),
            Place::Private { words, each } if at + n <= *each => {
                let start = who.lane as usize * *each + at;
                return Value::of(&words[start..start + n]);
            }
            Place::Storage { .. } | Place::Private { .. } => {
                let name = name.clone();
                self.fault(Kind::Beyond, &name, || format!("word {at} read by invocation {}", who.invocation));
                return Value::made(n, |_| 0);
            }
        };
        let range = start + at..start + at + n;
        let value = Value::of(&words.words[range.clone()]);
        let (mut race, mut unwritten) = (None, false);
        for touch in &mut words.touches[range] {
            race = race.or(touch.note(phase, id, false));
            unwritten |= shared && touch.written_by != who.workgroup;
        }
        self.judge(global, at, race, id, "reads");
        if unwritten {
            let name = self.globals[global].name.clone();
            self.fault(Kind::Unwritten, &name, || format!("word {at} read by lane {}", who.lane));
        }
        value
    }

    pub fn store(&mut self, global: usize, offset: u32, value: &[u32], who: Who) {
        let at = offset as usize;
        let Global { name, place } = &mut self.globals[global];
        let (words, start, phase, id) = match place {
            Place::Storage { buffer, start, len } if at + value.len() <= *len => {
                (&mut self.buffers[*buffer], *start, self.dispatch, who.invocation)
            }
            Place::Workgroup(words) if at + value.len() <= words.words.len() => (words, 0, self.phase, who.lane),
            Place::Private { words, each } if at + value.len() <= *each => {
                let start = who.lane as usize * *each + at;
                words[start..start + value.len()].copy_from_slice(value);
                return;
            }
            _ => {
                let name = name.clone();
                self.fault(Kind::Beyond, &name, || format!("word {at} written by invocation {}", who.invocation));
                return;
            }
        };
        let range = start + at..start + at + value.len();
        words.words[range.clone()].copy_from_slice(value);
        let mut race = None;
        for touch in &mut words.touches[range] {
            race = race.or(touch.note(phase, id, true));
            touch.written_by = who.workgroup;
        }
        self.judge(global, at, race, id, "writes");
    }

    fn judge(&mut self, global: usize, at: usize, race: Option<u32>, id: u32, does: &str) {
        let Some(other) = race else { return };
        let name = self.globals[global].name.clone();
        let other = if other == SEVERAL { "others".into() } else { other.to_string() };
        self.fault(Kind::Race, &name, || {
            format!("lane {id} {does} word {at}, which {other} touched in the same phase")
        });
    }
}
