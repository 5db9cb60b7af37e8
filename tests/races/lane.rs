//! One invocation, which runs until it reaches a barrier, and continues from there.

use super::memory::{Memory, Who};
use super::shader::{Body, Shader};
use super::subgroup::{Exchange, SUBGROUP, What};
use super::value::{Root, Value};
use naga::{Barrier, Block, BuiltIn, CollectiveOperation, Expression, GatherMode, Handle, Statement};

/// A called function, and its progress.
pub struct Frame<'a> {
    pub body: Body<'a>,
    pub arguments: Vec<Value>,
    /// The values of its expressions.
    pub values: Vec<Value>,
    /// The words of its variables.
    pub locals: Vec<u32>,
    cursors: Vec<Cursor<'a>>,
    /// Where its caller stores the result.
    result: Option<Handle<Expression>>,
}

/// A position in a block.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    block: &'a Block,
    next: usize,
    turns: Option<Turns<'a>>,
}

/// For the block of a loop: the loop, and its current iteration.
#[derive(Clone, Copy)]
struct Turns<'a> {
    body: &'a Block,
    continuing: &'a Block,
    break_if: Option<Handle<Expression>>,
    turn: u32,
    /// Whether this is the loop's continuing block.
    ends: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    Barrier,
    /// With its subgroup.
    Exchange,
    End,
}

pub struct Lane<'a> {
    pub shader: &'a Shader,
    pub who: Who,
    pub frames: Vec<Frame<'a>>,
    pub stop: Option<Stop>,
    exchange: Option<Exchange>,
    /// A hash of the matrix expressions that it has evaluated.
    pub trail: u64,
}

/// More would mean an endless loop.
const MOST_STATEMENTS: u64 = 50_000_000;

impl<'a> Lane<'a> {
    pub fn new(shader: &'a Shader, who: Who, workgroup: [u32; 3], memory: &mut Memory) -> Lane<'a> {
        let size = shader.module.entry_points[0].workgroup_size;
        let body = shader.entry();
        let builtin = |argument: &naga::FunctionArgument| match argument.binding {
            Some(naga::Binding::BuiltIn(BuiltIn::WorkGroupId)) => Value::of(&workgroup),
            Some(naga::Binding::BuiltIn(BuiltIn::LocalInvocationIndex)) => Value::word(who.lane),
            Some(naga::Binding::BuiltIn(BuiltIn::SubgroupInvocationId)) => Value::word(who.lane % SUBGROUP),
            Some(naga::Binding::BuiltIn(BuiltIn::SubgroupId)) => Value::word(who.lane / SUBGROUP),
            Some(naga::Binding::BuiltIn(BuiltIn::SubgroupSize)) => Value::word(SUBGROUP),
            Some(naga::Binding::BuiltIn(BuiltIn::GlobalInvocationId)) if size[1..] == [1, 1] => {
                Value::of(&[workgroup[0] * size[0] + who.lane, workgroup[1], workgroup[2]])
            }
            ref other => panic!("not interpreted: the argument {other:?}"),
        };
        let arguments = body.function.arguments.iter().map(builtin).collect();
        let mut lane = Lane { shader, who, frames: Vec::new(), stop: None, exchange: None, trail: 0 };
        lane.call(body, arguments, None, memory);
        lane
    }

    pub fn top(&self) -> &Frame<'a> {
        &self.frames[self.frames.len() - 1]
    }

    fn top_mut(&mut self) -> &mut Frame<'a> {
        let last = self.frames.len() - 1;
        &mut self.frames[last]
    }

    fn call(&mut self, body: Body<'a>, arguments: Vec<Value>, result: Option<Handle<Expression>>, memory: &mut Memory) {
        let cursors = vec![Cursor { block: &body.function.body, next: 0, turns: None }];
        let values = vec![Value::Unset; body.function.expressions.len()];
        let locals = vec![0; body.locals.words as usize];
        self.frames.push(Frame { body, arguments, values, locals, cursors, result });
        for (variable, local) in body.function.local_variables.iter() {
            if let Some(init) = local.init {
                let value = self.get(init, memory);
                let at = body.locals.places[variable.index()] as usize;
                self.top_mut().locals[at..at + value.words().len()].copy_from_slice(value.words());
            }
        }
    }

    /// Its full position: lanes at one barrier agree in all of it, including the iterations of loops.
    pub fn place(&self) -> Vec<(*const Block, usize, u32)> {
        let cursors = self.frames.iter().flat_map(|frame| &frame.cursors);
        cursors.map(|c| (c.block as *const Block, c.next, c.turns.map_or(0, |t| t.turn))).collect()
    }

    /// Stops for an exchange.
    fn wait(&mut self, argument: Handle<Expression>, what: What, result: Handle<Expression>, memory: &mut Memory) {
        let (operand, kind) = (self.get(argument, memory), self.kind(argument));
        self.exchange = Some(Exchange { operand, kind, what, result });
        self.stop = Some(Stop::Exchange);
    }

    pub fn waits_with(&self) -> &Exchange {
        self.exchange.as_ref().expect("an exchange that it waits for")
    }

    /// The result of the exchange.
    pub fn answer(&mut self, value: Value) {
        let Exchange { result, .. } = self.exchange.take().expect("an exchange that it waits for");
        self.top_mut().values[result.index()] = value;
    }

    /// Runs up to the next barrier or exchange, or to the end.
    pub fn run(&mut self, memory: &mut Memory) {
        for _ in 0..MOST_STATEMENTS {
            let Some(cursor) = self.top_mut().cursors.last_mut() else {
                if self.leave(None) {
                    return;
                }
                continue;
            };
            let Some(statement) = cursor.block.get(cursor.next) else {
                let cursor = *cursor;
                self.end_block(cursor, memory);
                continue;
            };
            cursor.next += 1;
            if self.execute(statement, memory) {
                return;
            }
        }
        panic!("a loop without end");
    }

    fn end_block(&mut self, cursor: Cursor<'a>, memory: &mut Memory) {
        self.top_mut().cursors.pop();
        let Some(turns) = cursor.turns else { return };
        if !turns.ends {
            self.enter(turns.continuing, Some(Turns { ends: true, ..turns }));
        } else if turns.break_if.is_none_or(|condition| self.get(condition, memory).scalar() == 0) {
            self.enter(turns.body, Some(Turns { ends: false, turn: turns.turn + 1, ..turns }));
        }
    }

    fn enter(&mut self, block: &'a Block, turns: Option<Turns<'a>>) {
        self.top_mut().cursors.push(Cursor { block, next: 0, turns });
    }

    /// Leaves blocks up to and including the innermost loop's.
    fn leave_loop(&mut self) -> Turns<'a> {
        loop {
            let cursor = self.top_mut().cursors.pop().expect("a loop around it");
            if let Some(turns) = cursor.turns {
                return turns;
            }
        }
    }

    /// Returns to the caller; true at the end of the entry point.
    fn leave(&mut self, value: Option<Value>) -> bool {
        let frame = self.frames.pop().expect("a function");
        if self.frames.is_empty() {
            self.stop = Some(Stop::End);
            return true;
        }
        if let (Some(to), Some(value)) = (frame.result, value) {
            self.top_mut().values[to.index()] = value;
        }
        false
    }

    /// True if it stops.
    fn execute(&mut self, statement: &'a Statement, memory: &mut Memory) -> bool {
        match statement {
            Statement::Emit(range) => {
                for expression in range.clone() {
                    let value = self.evaluate(expression, memory);
                    self.came_to(expression, memory);
                    self.top_mut().values[expression.index()] = value;
                }
            }
            Statement::Block(block) => self.enter(block, None),
            Statement::If { condition, accept, reject } => {
                let block = if self.get(*condition, memory).scalar() != 0 { accept } else { reject };
                self.enter(block, None);
            }
            Statement::Loop { body, continuing, break_if } => {
                self.enter(body, Some(Turns { body, continuing, break_if: *break_if, turn: 0, ends: false }));
            }
            Statement::Break => {
                self.leave_loop();
            }
            Statement::Continue => {
                let turns = self.leave_loop();
                self.enter(turns.continuing, Some(Turns { ends: true, ..turns }));
            }
            Statement::Return { value } => {
                let value = value.map(|value| self.get(value, memory));
                return self.leave(value);
            }
            Statement::ControlBarrier(kind) if *kind == Barrier::WORK_GROUP => {
                self.stop = Some(Stop::Barrier);
                return true;
            }
            Statement::SubgroupGather { mode, argument, result } => {
                let from = match *mode {
                    GatherMode::Broadcast(lane) | GatherMode::Shuffle(lane) => self.get(lane, memory).scalar(),
                    GatherMode::ShuffleXor(mask) => (self.who.lane % SUBGROUP) ^ self.get(mask, memory).scalar(),
                    other => panic!("not interpreted: {other:?}"),
                };
                self.wait(*argument, What::Of(from), *result, memory);
                return true;
            }
            Statement::SubgroupCollectiveOperation { op, collective_op, argument, result } => {
                assert_eq!(*collective_op, CollectiveOperation::Reduce, "not interpreted: scans");
                self.wait(*argument, What::All(*op), *result, memory);
                return true;
            }
            Statement::Store { pointer, value } => {
                let (pointer, value) = (self.get(*pointer, memory).pointer(), self.get(*value, memory));
                let at = pointer.offset as usize;
                match pointer.root {
                    Root::Global(global) => memory.store(global, pointer.offset, value.words(), self.who),
                    Root::Local(frame) => {
                        self.frames[frame].locals[at..at + value.words().len()].copy_from_slice(value.words());
                    }
                }
            }
            Statement::CooperativeStore { target, data } => self.store_matrix(*target, data, memory),
            Statement::Call { function, arguments, result } => {
                let arguments = arguments.iter().map(|argument| self.get(*argument, memory)).collect();
                self.call(self.shader.body(*function), arguments, *result, memory);
            }
            other => panic!("not interpreted: {other:?}"),
        }
        false
    }
}
