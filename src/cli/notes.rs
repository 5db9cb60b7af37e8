//! Notes on pictures, each kind printed once a run.

use super::{advice, tell};
use diffews_wgpu::image_io::Note;
use std::mem::{Discriminant, discriminant};
use std::path::Path;

/// Kinds of notes that were printed.
pub struct Notes {
    told: Vec<Discriminant<Note>>,
    quiet: bool,
}

impl Notes {
    pub fn new(quiet: bool) -> Notes {
        Notes { told: Vec::new(), quiet }
    }

    /// Prints the notes on a picture whose kind is new in this run. `clear` makes room on the terminal.
    pub fn tell(&mut self, path: &Path, notes: &[Note], mut clear: impl FnMut()) {
        for note in notes {
            let kind = discriminant(note);
            if self.quiet || self.told.contains(&kind) {
                continue;
            }
            self.told.push(kind);
            clear();
            tell(&format!("note: {}: {note}{}", path.display(), advice::of_note(note)));
        }
    }
}
