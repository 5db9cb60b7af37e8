//! The queries: pictures, folders, a list on standard input, and pictures that arrive in watched folders.

use super::errors::usage;
use super::folder::{self, Search};
use super::list::Input;
use diffews_wgpu::image_io::{Beginning, is_standard};
use globset::{Glob, GlobBuilder, GlobSet};
use std::path::{Path, PathBuf, is_separator};

#[derive(clap::Args)]
#[command(next_help_heading = "Queries")]
pub struct QueryArgs {
    /// Picture to segment, or a directory of pictures, in natural order (frame2 before frame10). - is standard input, for one of
    /// --support, --mask and --query: a picture, or for --query a list of paths, one per line or from find -print0, processed as they arrive
    #[arg(long, value_name = "IMAGE|DIR|-", required_unless_present = "json_schema", num_args = 1..)]
    query: Vec<PathBuf>,
    /// Search subdirectories, too, each once, and keep the tree in --output and other directories of results; for a list, keep the
    /// directories of its paths
    #[arg(long)]
    recursive: bool,
    /// Take only pictures of a directory whose path in it matches, as 'left/**/*_rgb.{png,jpg}', or without a / whose name matches.
    /// May be given several times
    #[arg(long, value_name = "PATTERN", value_parser = glob)]
    glob: Vec<Glob>,
    /// After the last query, wait for new pictures in the directories and segment each once it no longer changes; an unreadable one is
    /// read again when it changes. Ctrl-C ends the watch, with exit code 0 if nothing is left to do
    #[arg(long)]
    watch: bool,
}

/// A picture to segment.
#[derive(Clone, Debug)]
pub struct Query {
    pub path: PathBuf,
    /// Path of its results within the folder of results, equal to its own path within the searched folder.
    pub below: PathBuf,
    /// Named by a folder or a list, not by the user: it may have changed since.
    pub listed: bool,
}

/// The queries known at the start.
pub struct Queries {
    pub known: Vec<Query>,
    /// Whether there may be several, even if one is known: names of results must not depend on the number.
    pub several: bool,
    pub more: More,
    /// The part of standard input that was read already.
    pub input: Input,
    /// Notes for the user.
    pub notes: Vec<String>,
}

/// Where later queries come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    None,
    /// A list on standard input.
    List,
    /// Watched folders.
    Watch,
}

impl QueryArgs {
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.query.iter().map(PathBuf::as_path)
    }

    pub fn recursive(&self) -> bool {
        self.recursive
    }

    pub fn is_watch(&self) -> bool {
        self.watch
    }

    /// The search for pictures in folders; `results` are the folders of results.
    ///
    /// # Errors
    /// Too many patterns.
    pub fn search<'a>(&self, results: impl Iterator<Item = &'a Path>) -> anyhow::Result<Search> {
        let globs = self.glob.iter().fold(GlobSet::builder(), |mut all, glob| {
            all.add(glob.clone());
            all
        });
        let globs = globs.build().map_err(|error| usage(format!("--glob: {error}")))?;
        Ok(Search {
            recursive: self.recursive,
            globs: (!self.glob.is_empty()).then_some(globs),
            results: results.map(Path::to_owned).collect(),
        })
    }

    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        self.paths().filter(|path| is_folder(path))
    }

    /// Finds the queries. Waits for the first bytes of standard input if it is one of them.
    ///
    /// # Errors
    /// Folders that cannot be read or hold no picture; flags that do not fit the queries.
    pub fn find(&self, search: &Search) -> anyhow::Result<Queries> {
        if self.watch && self.paths().any(|path| !is_folder(path)) {
            return Err(usage("--watch: each --query must be a directory"));
        }
        if !self.glob.is_empty() && self.folders().next().is_none() {
            return Err(usage("--glob needs a --query that is a directory"));
        }
        let mut found = Queries {
            known: Vec::new(),
            several: self.query.len() > 1,
            more: if self.watch { More::Watch } else { More::None },
            input: Input::default(),
            notes: Vec::new(),
        };
        for path in self.paths() {
            if is_folder(path) {
                let (pictures, left_out) = folder::pictures(path, search, !self.watch)?;
                found.known.extend(pictures);
                found.notes.extend(left_out);
                found.several = true;
                continue;
            }
            if is_standard(path) {
                let kind;
                (found.input, kind) = Input::begin()?;
                if kind == Beginning::Text {
                    (found.several, found.more) = (true, More::List);
                    continue;
                }
            }
            found.known.push(Query { path: path.to_owned(), below: PathBuf::new(), listed: false });
        }
        Ok(found)
    }
}

/// Whether the path is a folder; `-` never is.
pub fn is_folder(path: &Path) -> bool {
    !is_standard(path) && path.is_dir()
}

/// Parses a pattern; without a separator it matches names in any folder. Case matters where file systems commonly distinguish
/// it.
fn glob(text: &str) -> Result<Glob, String> {
    let text = text.strip_prefix("./").unwrap_or(text);
    let anywhere = format!("**/{text}");
    let text = if text.contains(is_separator) { text } else { &anywhere };
    let no_case = cfg!(any(windows, target_vendor = "apple"));
    let built = GlobBuilder::new(text).literal_separator(true).case_insensitive(no_case).build();
    built.map_err(|error| error.kind().to_string())
}

#[cfg(test)]
mod tests {
    #[test]
    fn globs_are_of_paths_or_of_names() {
        let matches = |pattern: &str, path: &str| super::glob(pattern).unwrap().compile_matcher().is_match(path);
        assert!(matches("*_rgb.png", "a_rgb.png") && matches("*_rgb.png", "b/c/a_rgb.png"));
        assert!(matches("**/*.{png,jpg}", "a.jpg") && matches("**/*.{png,jpg}", "b/c/a.png"));
        assert!(matches("b/*.png", "b/a.png") && !matches("b/*.png", "b/c/a.png") && !matches("b/*.png", "a.png"));
        assert!(matches("b/**", "b/c/a.png") && matches("./b/*.png", "b/a.png"));
        assert!(super::glob("a[").is_err() && super::glob("{a").is_err());
    }
}
