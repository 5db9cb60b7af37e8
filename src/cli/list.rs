//! Standard input as queries: a picture, or a list of paths.

use super::queries::Query;
use anyhow::bail;
use diffews_wgpu::image_io::{Beginning, beginning, is_standard};
use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read, stdin};
use std::ops::ControlFlow;
use std::path::{Component, Path, PathBuf};

/// Longest path that any system opens, in bytes.
const LONGEST: usize = 1 << 15;

/// Standard input, with its first bytes already read.
#[derive(Default)]
pub struct Input {
    first: Vec<u8>,
}

impl Input {
    /// Waits for enough of standard input to recognise a picture or a list.
    ///
    /// # Errors
    /// It is empty or cannot be read.
    pub fn begin() -> anyhow::Result<(Input, Beginning)> {
        let (mut first, mut ended) = (Vec::new(), false);
        let mut part = [0; 4096];
        loop {
            match beginning(&first, ended) {
                _ if ended && first.is_empty() => {
                    bail!("--query -: standard input is empty; send a picture or a list of paths")
                }
                Beginning::Short => {}
                told => return Ok((Input { first }, told)),
            }
            match stdin().read(&mut part) {
                Ok(0) => ended = true,
                Ok(n) => first.extend_from_slice(&part[..n]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => bail!("--query -: standard input cannot be read: {error}"),
            }
        }
    }

    /// All of standard input.
    pub fn whole(&self) -> impl Read + Send + use<> {
        Cursor::new(self.first.clone()).chain(stdin())
    }
}

/// Gives each path of a list as it arrives. NULs end the paths if the first block has one, else line feeds. `tree`: results keep the
/// folders of the paths.
///
/// # Errors
/// A list that cannot be read to its end.
pub fn each(source: impl Read, tree: bool, give: &mut dyn FnMut(Query) -> ControlFlow<()>) -> anyhow::Result<()> {
    let mut source = BufReader::new(source);
    let (mut end, mut line) = (None, Vec::new());
    loop {
        let more = match read_line(&mut source, &mut end, &mut line) {
            Ok(more) => more,
            Err(error) => bail!("--query -: the list cannot be read to its end: {error}"),
        };
        if end != Some(0) && line.last() == Some(&b'\r') {
            line.pop();
        }
        if !line.iter().all(u8::is_ascii_whitespace) && give(query(&line, tree)).is_break() {
            return Ok(());
        }
        if !more {
            return Ok(());
        }
    }
}

/// Reads the next line without its end, cut at [`LONGEST`]; false at the last one.
fn read_line(source: &mut impl BufRead, end: &mut Option<u8>, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    loop {
        let part = match source.fill_buf() {
            Ok(part) => part,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if part.is_empty() {
            return Ok(false);
        }
        // Names may hold line feeds, but no NUL.
        if end.is_none() {
            *end = [0, b'\n'].into_iter().find(|end| part.contains(end));
        }
        let at = part.iter().position(|b| Some(*b) == *end);
        let text = &part[..at.unwrap_or(part.len())];
        line.extend_from_slice(&text[..text.len().min(LONGEST - line.len())]);
        let used = text.len() + usize::from(at.is_some());
        source.consume(used);
        if at.is_some() {
            return Ok(true);
        }
    }
}

fn query(line: &[u8], tree: bool) -> Query {
    let path = path(line);
    // In a list, `-` is a file.
    let path = if is_standard(&path) { Path::new(".").join(path) } else { path };
    let below = |part: Component| matches!(part, Component::Normal(_)).then(|| PathBuf::from(part.as_os_str()));
    let below = match tree {
        true => path.parent().into_iter().flat_map(Path::components).filter_map(below).collect(),
        false => PathBuf::new(),
    };
    Query { path, below, listed: true }
}

#[cfg(unix)]
fn path(line: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    std::ffi::OsStr::from_bytes(line).into()
}

#[cfg(not(unix))]
fn path(line: &[u8]) -> PathBuf {
    String::from_utf8_lossy(line).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(list: &[u8], tree: bool) -> Vec<(String, String)> {
        let mut found = Vec::new();
        // Blocks of several sizes.
        for part in [1, 3, 1 << 16] {
            let mut these = Vec::new();
            let parts = BufReader::with_capacity(part, list);
            let mut give = |query: Query| {
                these.push((query.path.display().to_string(), query.below.display().to_string()));
                ControlFlow::Continue(())
            };
            each(parts, tree, &mut give).unwrap();
            assert!(found.is_empty() || found == these);
            found = these;
        }
        found
    }

    #[test]
    fn paths_are_those_of_lines_or_of_parts_that_a_nul_ends() {
        let paths = |list| read(list, false).into_iter().map(|(path, _)| path).collect::<Vec<_>>();
        assert_eq!(paths(b"a b.png\n\n  \r\n-\nc.png\r\nd"), ["a b.png", "./-", "c.png", "d"]);
        assert_eq!(paths(b"c\r\0\0a\nb.png\0d"), ["c\r", "a\nb.png", "d"]);
        let mut first = None;
        let mut give = |query: Query| {
            first = Some(query.path);
            ControlFlow::Break(())
        };
        each(&b"a\nb.png\0c.png\0"[..], false, &mut give).unwrap();
        assert_eq!(first.as_deref(), Some(Path::new("a\nb.png")));
        assert_eq!(paths(b""), [""; 0]);
        let long = [vec![b'x'; 3 * LONGEST], b"\nb.png\n".to_vec()].concat();
        assert_eq!(paths(&long).iter().map(String::len).collect::<Vec<_>>(), [LONGEST, 5]);
    }

    #[test]
    fn folders_of_paths_never_lead_out() {
        let below = |path: &str| read(path.as_bytes(), true)[0].1.clone();
        assert_eq!(["a/b/c.png", "/a/c.png", "../../a/./c.png", "c.png", ".."].map(below), ["a/b", "a", "a", "", ""]);
    }
}
