use super::*;
use image::{GrayImage, Luma};
use std::cell::Cell;
use std::fs;

/// A folder with an episodes' file of `head` and one episode of `value` over the pictures below.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        RgbImage::from_pixel(8, 8, image::Rgb([90, 120, 30])).save(place.path("picture.png")).unwrap();
        // A quarter each of background, class 7, the ignored value and another class.
        let numbers = GrayImage::from_fn(8, 8, |x, y| Luma([[0, 7, 255, 3][(x / 4 + 2 * (y / 4)) as usize]]));
        numbers.save(place.path("numbers.png")).unwrap();
        place
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, head: &str, mask: &str, value: &str) -> EpisodeFile {
        let example = format!(r#"{{"image": "picture.png", "mask": "{mask}"{value}}}"#);
        let episode = format!(r#"{{"class": "a", "supports": [{example}], "query": {example}}}"#);
        fs::write(self.path("e.json"), format!(r#"{{{head}"episodes": [{episode}]}}"#)).unwrap();
        EpisodeFile::open(&self.path("e.json"), &[]).unwrap()
    }

    fn loaded(&self, head: &str, mask: &str, value: &str) -> Loaded {
        let file = self.file(head, mask, value);
        let episode = &file.episodes[0];
        load(&file, &Task { marked: None, supports: Some(&episode.supports), query: &episode.query }, 8)
    }
}

/// The middles of the quarters.
fn quarters<T: Copy>(at: impl Fn(usize) -> T) -> [T; 4] {
    [at(8 * 2 + 2), at(8 * 2 + 6), at(8 * 6 + 2), at(8 * 6 + 6)]
}

#[test]
fn outlines_are_ignored_in_pascals_queries_alone() {
    let place = Place::new();
    for (name, ignored) in [("pascal", IGNORE), ("coco", BACKGROUND), ("mine", IGNORE)] {
        let loaded = place.loaded(&format!(r#""benchmark": {{"name": "{name}"}}, "#), "numbers.png", r#", "value": 7"#);
        let truth = loaded.query.unwrap().1;
        assert_eq!(quarters(|i| truth[i]), [BACKGROUND, FOREGROUND, ignored, BACKGROUND], "{name}");
        // Supports have only foreground and background.
        let supports = loaded.supports.unwrap().unwrap();
        let support = supports[0].mask();
        assert_eq!(quarters(|i| support.foreground()[i]), [false, true, false, false], "{name}");
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    }
    let loaded = place.loaded(r#""ignore": 3, "#, "numbers.png", r#", "value": 255"#);
    let truth = loaded.query.unwrap().1;
    assert_eq!(quarters(|i| truth[i]), [BACKGROUND, BACKGROUND, FOREGROUND, IGNORE]);
}

#[test]
fn a_mask_of_another_size_is_resized_by_itself_and_told() {
    let place = Place::new();
    GrayImage::from_fn(5, 12, |_, y| Luma([255 * u8::from(y < 6)])).save(place.path("other.png")).unwrap();
    for value in ["", r#", "value": 255"#] {
        let loaded = place.loaded(r#""ignore": null, "#, "other.png", value);
        let truth = loaded.query.unwrap().1;
        assert_eq!(quarters(|i| truth[i]), [FOREGROUND, FOREGROUND, BACKGROUND, BACKGROUND]);
        assert_eq!(loaded.warnings.len(), 2, "for the support and the query");
        for part in ["other.png: the mask is 5 x 12", "picture.png 8 x 8", "by itself"] {
            assert!(loaded.warnings[0].contains(part), "{:?}", loaded.warnings);
        }
    }
    // No memory is taken for a size that no picture may have.
    assert!(may_be((1 << 14, 1 << 14)) && !may_be((1 << 15, 1 << 14)) && !may_be((u32::MAX, 1)));
}

#[test]
fn threads_that_cannot_start_are_done_without() {
    let place = Place::new();
    let file = place.file("", "numbers.png", r#", "value": 7"#);
    let episode = &file.episodes[0];
    let tasks: Vec<Task> = (0..7).map(|_| Task { marked: None, supports: None, query: &episode.query }).collect();
    for working in 0..=3 {
        let started = Cell::new(0);
        std::thread::scope(|scope| {
            let spawn = |work| {
                if started.get() >= working {
                    return Err(io::Error::from(io::ErrorKind::WouldBlock));
                }
                started.set(started.get() + 1);
                Builder::new().spawn_scoped(scope, work).map(|_| ())
            };
            let mut queue = Queue::with_threads(3, &spawn, &file, &tasks, 8);
            for _ in &tasks {
                assert!(queue.next().unwrap().0.query.is_ok());
            }
            assert!(queue.next().is_none());
        });
        assert_eq!(started.get(), working);
    }
}

/// Nothing writes to it: opening it would block forever.
#[cfg(unix)]
#[test]
fn a_pipe_is_an_error_of_its_episode() {
    let place = Place::new();
    nix::unistd::mkfifo(&place.path("pipe.png"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let loaded = place.loaded("", "pipe.png", "");
    for error in [loaded.query.unwrap_err(), loaded.supports.unwrap().unwrap_err()] {
        assert!(error.contains("pipe.png: cannot be read: is not a regular file"), "{error}");
    }
}
