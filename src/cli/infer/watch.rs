//! Folders that are watched for new pictures.
//!
//! They are polled: change notifications differ between systems and miss network drives and shared folders of virtual machines, and
//! half-written files must be waited for in any case.

use super::super::folder::{Listing, Search};
use super::super::queries::Query;
use super::super::tell;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// Shortest pause between two polls; it is also at least a few times as long as the poll took.
const PAUSE: Duration = Duration::from_millis(500);
const PAUSES_A_LOOK: u32 = 4;
/// A file that has not changed for this long counts as complete.
const STILL: Duration = Duration::from_millis(500);

/// Size and modification time of a file.
type About = (u64, Option<SystemTime>);

struct Seen {
    about: About,
    since: Instant,
    /// This version was given already.
    given: bool,
}

pub struct Watched {
    folders: Vec<PathBuf>,
    search: Search,
    seen: HashMap<PathBuf, Seen>,
    /// Unreadable folders that were reported.
    told: HashSet<PathBuf>,
}

impl Watched {
    /// Pictures in `known` are queries already.
    pub fn new<'a>(folders: impl Iterator<Item = &'a Path>, search: Search, known: &[Query]) -> Watched {
        let now = Instant::now();
        let seen =
            |query: &Query| Some((query.path.clone(), Seen { about: about(&query.path)?, since: now, given: true }));
        Watched {
            folders: folders.map(Path::to_owned).collect(),
            search,
            seen: known.iter().filter_map(seen).collect(),
            told: HashSet::new(),
        }
    }

    /// Gives each new picture once it no longer changes, and again after a change. Ends when `give` breaks.
    pub fn each(mut self, give: &mut dyn FnMut(Query) -> ControlFlow<()>) {
        loop {
            let begun = Instant::now();
            let still = self.look();
            let pause = PAUSE.max(PAUSES_A_LOOK * begun.elapsed());
            // This blocks if the run is behind.
            if still.into_iter().try_for_each(&mut *give).is_break() {
                return;
            }
            std::thread::sleep(pause);
        }
    }

    /// The pictures that no longer change.
    fn look(&mut self) -> Vec<Query> {
        let (mut there, mut failed, mut still) = (HashSet::new(), HashSet::new(), Vec::new());
        for folder in &self.folders {
            let Listing { pictures, unreadable, .. } = self.search.look(folder);
            for (dir, error) in unreadable {
                if !self.told.contains(&dir) {
                    tell(&format!("warning: {error}; the watch will try it again"));
                }
                failed.insert(dir);
            }
            for query in pictures {
                there.insert(query.path.clone());
                // The file is gone, or still empty.
                let Some(about) = about(&query.path).filter(|about| about.0 > 0) else { continue };
                let now = Instant::now();
                let seen = self.seen.entry(query.path.clone()).or_insert(Seen { about, since: now, given: false });
                if seen.about != about {
                    *seen = Seen { about, since: now, given: false };
                } else if !seen.given && seen.since.elapsed() >= STILL {
                    seen.given = true;
                    still.push(query);
                }
            }
        }
        self.told = failed;
        // Forget deleted files, as a later file of that name is new. Not while a folder is unreadable: its files may still exist.
        if self.told.is_empty() {
            self.seen.retain(|path, _| there.contains(path));
        }
        still
    }
}

fn about(path: &Path) -> Option<About> {
    let about = fs::metadata(path).ok().filter(|about| about.is_file())?;
    Some((about.len(), about.modified().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_given_once_it_is_still_and_again_when_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("old.png"), "1").unwrap();
        let search = Search { recursive: true, globs: None, results: Vec::new() };
        let known = search.look(dir.path()).pictures;
        let mut watched = Watched::new([dir.path()].into_iter(), search, &known);
        let mut look = || {
            let name = |query: &Query| query.path.file_name().unwrap().to_str().unwrap().to_owned();
            let names: Vec<String> = watched.look().iter().map(name).collect();
            std::thread::sleep(STILL);
            names
        };
        fs::create_dir(path("below")).unwrap();
        for name in ["new.png", "f10.png", "f9.png", "notes.txt"] {
            fs::write(path(name), "1").unwrap();
        }
        fs::write(path("below/x.png"), "").unwrap();
        assert_eq!(look(), [""; 0]);
        fs::write(path("new.png"), "12").unwrap();
        assert_eq!(look(), ["f9.png", "f10.png"]);
        fs::write(path("below/x.png"), "1").unwrap();
        fs::remove_file(path("f9.png")).unwrap();
        assert_eq!(look(), ["new.png"]);
        fs::write(path("old.png"), "12").unwrap();
        fs::write(path("f9.png"), "1").unwrap();
        assert_eq!(look(), ["x.png"]);
        assert_eq!(look(), ["f9.png", "old.png"]);
        assert_eq!(look(), [""; 0]);
    }
}
