//! Examples of a command line: pictures with their masks.

use super::errors::usage;
use super::mask_file::{MaskFileArgs, tell_of};
use super::notes::Notes;
use super::report::Support;
use super::tell;
use diffews_wgpu::Example;
use diffews_wgpu::image_io::{self, LoadedPicture, MaskWarning, PictureOptions};
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub struct ExampleArgs {
    /// Example picture; several are shots of one example set, or of the class that is named in NAME:IMAGE
    #[arg(long, value_name = "[NAME:]IMAGE", num_args = 1..)]
    support: Vec<PathBuf>,
    /// Mask of the example picture of the same place: white (>= 50 %) is what to find, or the one label or colour on black
    #[arg(long, value_name = "IMAGE", num_args = 1..)]
    mask: Vec<PathBuf>,
    #[command(flatten)]
    mask_file: MaskFileArgs,
}

impl ExampleArgs {
    /// All files that are read.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.support.iter().map(|given| named(given).1).chain(self.mask.iter().map(PathBuf::as_path))
    }

    /// The class of each example, if it has one.
    pub fn names(&self) -> impl Iterator<Item = Option<String>> {
        self.support.iter().map(|given| named(given).0)
    }

    /// # Errors
    /// Pictures without masks, or masks without pictures.
    pub fn check(&self) -> anyhow::Result<()> {
        let (supports, masks) = (self.support.len(), self.mask.len());
        if supports == masks {
            return Ok(());
        }
        Err(usage(format!("{supports} --support and {masks} --mask; give one mask for each support, in order")))
    }

    /// All examples, with their classes. What they have together is decided in `options`.
    ///
    /// # Errors
    /// Whatever is wrong with a file.
    pub fn load(
        &self,
        options: &mut PictureOptions,
        notes: &mut Notes,
        quiet: bool,
    ) -> anyhow::Result<Vec<(Option<String>, Support)>> {
        if self.support.is_empty() {
            return Ok(Vec::new());
        }
        let (names, paths): (Vec<Option<String>>, Vec<&Path>) = self.support.iter().map(|given| named(given)).unzip();
        let pictures = image_io::load_together(&paths, options)?;
        let read = |(((name, image), mask), picture): (((Option<String>, &Path), &PathBuf), LoadedPicture)| {
            notes.tell(image, &picture.notes, || ());
            let loaded = image_io::load_mask_of(mask, &picture, self.mask_file.reading())?;
            tell_of(mask, &loaded.warnings, quiet);
            let data = Example::new(picture.rgb, loaded.mask)?;
            let data = match image.file_name() {
                Some(name) => data.named(name.to_string_lossy()),
                None => data,
            };
            Ok((name, Support { image: image.to_owned(), mask: mask.clone(), data }))
        };
        names.into_iter().zip(paths).zip(&self.mask).zip(pictures).map(read).collect()
    }
}

/// The class and the picture of `cat:a.png`. A file that is called so as a whole has no class, and a drive's letter is none.
fn named(given: &Path) -> (Option<String>, &Path) {
    let Some((name, path)) = given.to_str().and_then(|text| text.split_once(':')) else { return (None, given) };
    let is_name = name.chars().count() > 1 && !name.contains(['/', '\\']) && !path.is_empty();
    match is_name && !given.exists() {
        true => (Some(name.to_owned()), Path::new(path)),
        false => (None, given),
    }
}

/// Warns of masks of which little is left as the network sees them.
pub fn tell_of_size<'a>(supports: impl IntoIterator<Item = &'a Support>, size: u32) {
    for support in supports {
        let mask = support.data.mask();
        if let Some(warning) = MaskWarning::between(mask, &image_io::resize_nearest_mask(mask, size, size)) {
            tell(&format!("warning: {}: {warning}", support.mask.display()));
        }
    }
}
