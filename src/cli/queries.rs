//! What is to be segmented: pictures, folders of them, a list on standard input, and what comes into folders later.

use super::errors::usage;
use super::folder::{self, Search};
use super::list::Input;
use diffews_wgpu::image_io::{Beginning, is_standard};
use globset::{Glob, GlobBuilder, GlobSet};
use std::path::{Path, PathBuf, is_separator};

#[derive(clap::Args)]
#[command(next_help_heading = "Queries")]
pub struct QueryArgs {
    /// Picture to segment, or a directory of them, in the order of their names (frame2 before frame10). - is standard input, once for
    /// --support, --mask and --query: a picture, or for --query a list of paths, one a line or as of find -print0, taken as they come
    #[arg(long, value_name = "IMAGE|DIR|-", required_unless_present = "json_schema", num_args = 1..)]
    query: Vec<PathBuf>,
    /// Search the directories below, too, each once, and keep the tree in --output and wherever results go; of the paths of a list, keep
    /// the directories
    #[arg(long)]
    recursive: bool,
    /// Take of a directory the pictures alone whose path in it matches, as 'left/**/*_rgb.{png,jpg}', or, without a /, whose name does.
    /// May be given several times
    #[arg(long, value_name = "PATTERN", value_parser = glob)]
    glob: Vec<Glob>,
    /// Go on after the last query, and take new pictures of the directories as they come, each once it no longer grows; one that cannot be
    /// read is tried again when it changes. Ctrl-C ends it, with code 0 where nothing is left to do
    #[arg(long)]
    watch: bool,
}

/// A picture to segment.
#[derive(Clone, Debug)]
pub struct Query {
    pub path: PathBuf,
    /// Where its results lie below the folder of results: where it lies itself in the folder that was searched.
    pub below: PathBuf,
    /// A folder or a list named it, not the user: what it is may have changed since.
    pub listed: bool,
}

/// What is known of the queries before the first is done.
pub struct Queries {
    pub known: Vec<Query>,
    /// There may be several, even where one is known: how results are called must not depend on that.
    pub several: bool,
    pub more: More,
    /// What came from standard input already.
    pub input: Input,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Queries that come later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum More {
    None,
    /// Of a list on standard input.
    List,
    /// Of folders that are watched.
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

    /// What pictures of folders are looked for by, `results` being where results go.
    ///
    /// # Errors
    /// Patterns that are too many together.
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

    /// Finds the queries. Waits for the first bytes of standard input where that is one.
    ///
    /// # Errors
    /// Folders that cannot be read or hold no picture, flags that fit none of the queries.
    pub fn find(&self, search: &Search) -> anyhow::Result<Queries> {
        if self.watch && self.paths().any(|path| !is_folder(path)) {
            return Err(usage("--watch: each --query must be a directory"));
        }
        if !self.glob.is_empty() && self.folders().next().is_none() {
            return Err(usage("--glob: it chooses among the pictures of a directory, and no --query is one"));
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

/// `-` is no folder, whatever lies there.
pub fn is_folder(path: &Path) -> bool {
    !is_standard(path) && path.is_dir()
}

/// A pattern; without a separator it is one of names, in whatever folder they are. Large and small letters are told apart where file
/// systems commonly do.
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
