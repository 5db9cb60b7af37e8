//! What a user is told of the pictures, once a run.

use super::{advice, tell};
use diffews_wgpu::image_io::Note;
use std::mem::{Discriminant, discriminant};
use std::path::Path;

/// Kinds of notes that were told.
pub struct Notes {
    told: Vec<Discriminant<Note>>,
    quiet: bool,
}

impl Notes {
    pub fn new(quiet: bool) -> Notes {
        Notes { told: Vec::new(), quiet }
    }

    /// Tells the notes of a picture, of each kind the first of a run only. `clear` makes room on the terminal.
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
