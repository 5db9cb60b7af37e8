//! The examples of a command line: pictures with masks, marks or labels.

use super::drawn::{CocoArgs, Drawn};
use super::errors::usage;
use super::label_names::LabelNames;
use super::marks::MarkArgs;
use super::mask_file::{MaskFileArgs, print_mask_warnings};
use super::notes::Notes;
use super::report::Support;
use super::tell;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use diffews_wgpu::Example;
use diffews_wgpu::formats::read::coco::Shot;
use diffews_wgpu::formats::read::labelme;
use diffews_wgpu::image_io::{
    self, Framing, LoadedPicture, MaskReading, MaskSource, MaskWarning, PictureOptions, RgbImage, is_standard,
};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Args)]
struct Given {
    /// Example picture; several are shots of one set, or of the class named in NAME:IMAGE
    #[arg(long, value_name = "[NAME:]IMAGE", num_args = 1.., help_heading = "What to find")]
    support: Vec<PathBuf>,
    /// Mask of the example picture at the same position: white (>= 50 %) is what to find, or the single label or colour on black. A .json
    /// is a labelme file
    #[arg(long, value_name = "IMAGE|FILE.json", num_args = 1.., help_heading = "What to find")]
    mask: Vec<PathBuf>,
    /// Picture of something similar that is not meant, with its --mask: its pixels are never foreground
    #[arg(long, value_name = "IMAGE", num_args = 1.., help_heading = "What to find")]
    negative: Vec<PathBuf>,
    #[command(flatten)]
    mask_file: MaskFileArgs,
    #[command(flatten)]
    labels: LabelNames,
    #[command(flatten)]
    marks: MarkArgs,
    #[command(flatten)]
    coco: CocoArgs,
}

/// The arguments, with the order of pictures on the command line, which assigns the masks.
pub struct ExampleArgs {
    given: Given,
    /// Whether each picture is a negative one.
    order: Vec<bool>,
}

impl Args for ExampleArgs {
    fn augment_args(command: Command) -> Command {
        Given::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Given::augment_args_for_update(command)
    }
}

impl FromArgMatches for ExampleArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<ExampleArgs, clap::Error> {
        let places = |id: &str, negative: bool| {
            matches.indices_of(id).into_iter().flatten().map(move |place| (place, negative)).collect::<Vec<_>>()
        };
        let mut all = [places("support", false), places("negative", true)].concat();
        all.sort_unstable();
        let order = all.into_iter().map(|(_, negative)| negative).collect();
        Ok(ExampleArgs { given: Given::from_arg_matches(matches)?, order })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = ExampleArgs::from_arg_matches(matches)?;
        Ok(())
    }
}

/// What an example shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The only class, or the class of this name.
    Thing(Option<String>),
    /// A negative example.
    Negative,
}

/// Where the foreground comes from.
enum Source {
    File(PathBuf, MaskReading),
    Labelme(PathBuf),
    /// From the marks of the example of this index; and the file for the mask.
    Marks(usize, Option<PathBuf>),
    Drawn(PathBuf, Shot),
}

/// An example that has not been read yet.
pub struct Planned {
    pub kind: Kind,
    image: PathBuf,
    source: Source,
}

impl Planned {
    /// The files to read.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let mask = match &self.source {
            Source::File(path, _) | Source::Labelme(path) | Source::Drawn(path, _) => Some(path.as_path()),
            Source::Marks(..) => None,
        };
        [self.image.as_path()].into_iter().chain(mask)
    }

    /// The file for a mask made from marks.
    pub fn made(&self) -> Option<&Path> {
        match &self.source {
            Source::Marks(_, place) => place.as_deref(),
            _ => None,
        }
    }
}

impl ExampleArgs {
    /// All files that are read, as the command line names them.
    pub fn files(&self) -> impl Iterator<Item = &Path> + Clone {
        let Given { mask, negative, labels, marks, coco, .. } = &self.given;
        let pictures = self.given.support.iter().map(|given| named(given).1);
        let others = negative.iter().chain(mask).chain(&labels.names).chain(&coco.coco).map(PathBuf::as_path);
        pictures.chain(others).chain(marks.files().collect::<Vec<_>>())
    }

    pub fn has_negatives(&self) -> bool {
        !self.given.negative.is_empty()
    }

    /// Lists the examples. Reads no pictures, only the label numbers of masks with several classes, and COCO files.
    /// `named_beside`: there are other classes with names.
    ///
    /// # Errors
    /// Pictures without masks or marks, masks without pictures, invalid files.
    pub fn plan(&self, named_beside: bool) -> anyhow::Result<Vec<Planned>> {
        let Given { support, negative, mask, mask_file, labels, marks, coco } = &self.given;
        let (mut supports, mut negatives) = (support.iter().map(|given| named(given)), negative.iter());
        let pictures: Vec<(Kind, &Path)> = (self.order.iter())
            .filter_map(|&negative| match negative {
                true => Some((Kind::Negative, negatives.next()?.as_path())),
                false => supports.next().map(|(name, path)| (Kind::Thing(name), path)),
            })
            .collect();
        let marked = marks.marked(pictures.len())?;
        let is_labelme = |mask: &Path| mask.extension().is_some_and(|e| e.eq_ignore_ascii_case("json"));
        let (flags, annotated) = (mask_file.is_given(), mask.iter().any(|mask| is_labelme(mask)));
        let unused = [
            (
                "--mask-label selects a label of a labelme file, and no --mask is a .json",
                labels.mask_label.is_some() && !annotated,
            ),
            ("--all-values excludes marks; give each picture a mask", labels.all_values && !marked.is_empty()),
            (
                "--mask-value, --mask-color, --mask-alpha and --invert-mask need a --mask that is a picture",
                flags && (annotated || mask.is_empty()),
            ),
            (
                "--all-values: labelme files have labels and no values; select one with --mask-label",
                labels.all_values && annotated,
            ),
            (
                "--all-values: the mask is read twice, so it cannot be standard input; name a file",
                labels.all_values && mask.iter().any(|mask| is_standard(mask)),
            ),
        ];
        if let Some((told, _)) = unused.iter().find(|(_, unused)| *unused) {
            return Err(usage(*told));
        }
        let wanted = pictures.len() - marked.len();
        if mask.len() != wanted {
            let beside = if marked.is_empty() { "" } else { " without marks" };
            let others = if negative.is_empty() { "--support" } else { "--support and --negative" };
            let count = mask.len();
            return Err(usage(format!(
                "{wanted} {others}{beside} and {count} --mask; give one mask for each, in order"
            )));
        }
        let of_marked: Vec<&Path> = marked.iter().map(|&index| pictures[index].1).collect();
        let mut places = marks.places(&of_marked, self.files())?.into_iter();
        let (mut masks, mut planned) = (mask.iter(), Vec::new());
        for (index, (kind, image)) in pictures.into_iter().enumerate() {
            let image = image.to_owned();
            if marked.contains(&index) {
                let source = Source::Marks(index, places.next().flatten());
                planned.push(Planned { kind, image, source });
                continue;
            }
            let Some(mask) = masks.next() else { continue };
            if is_labelme(mask) {
                planned.push(Planned { kind, image, source: Source::Labelme(mask.clone()) });
            } else if labels.all_values && kind != Kind::Negative {
                if kind != Kind::Thing(None) {
                    return Err(usage("--all-values: each value of a mask is a class, so --support must not name one"));
                }
                for (number, name) in labels.of(mask)? {
                    let reading = MaskReading { source: MaskSource::Value(number), invert: false };
                    let source = Source::File(mask.clone(), reading);
                    planned.push(Planned { kind: Kind::Thing(Some(name)), image: image.clone(), source });
                }
            } else {
                planned.push(Planned { kind, image, source: Source::File(mask.clone(), mask_file.reading()) });
            }
        }
        let drawn = |Drawn { class, image, shot }| {
            let source = Source::Drawn(coco.coco.clone().unwrap_or_default(), shot);
            Planned { kind: Kind::Thing(class), image, source }
        };
        let named = named_beside || planned.iter().any(|example| matches!(example.kind, Kind::Thing(Some(_))));
        planned.extend(coco.draw(named)?.into_iter().map(drawn));
        Ok(planned)
    }

    /// Reads the examples. Settles in `options` what they share, and writes masks made from marks.
    ///
    /// # Errors
    /// A file that cannot be read or is invalid.
    pub fn load(
        &self,
        planned: Vec<Planned>,
        (options, notes): (&mut PictureOptions, &mut Notes),
        quiet: bool,
        force: bool,
    ) -> anyhow::Result<Vec<(Kind, Support)>> {
        if planned.is_empty() {
            return Ok(Vec::new());
        }
        // One picture may be an example of several classes: read it once.
        let mut paths: Vec<&Path> = Vec::new();
        let mut place_of = HashMap::new();
        for example in &planned {
            place_of.entry(example.image.clone()).or_insert_with(|| {
                paths.push(&example.image);
                paths.len() - 1
            });
        }
        let pictures = image_io::load_together(&paths, options)?;
        paths.iter().zip(&pictures).for_each(|(path, picture)| notes.tell(path, &picture.notes, || ()));
        let (of_image, pictures): (Vec<usize>, Vec<(LoadedPicture, Arc<RgbImage>)>) = (
            planned.iter().map(|example| place_of[&example.image]).collect(),
            pictures
                .into_iter()
                .map(|mut picture| {
                    let rgb = Arc::new(std::mem::take(&mut picture.rgb));
                    (picture, rgb)
                })
                .collect(),
        );
        let read = |(Planned { kind, image, source }, place): (Planned, usize)| {
            let (picture, rgb) = &pictures[place];
            let size = rgb.dimensions();
            let mut named = None;
            let (path, mask) = match source {
                Source::File(path, reading) => {
                    let loaded = image_io::load_mask_for(&path, (size, picture.orientation), reading)?;
                    let told = with_value(&path, reading, self.given.labels.all_values);
                    print_mask_warnings(&told, &loaded.warnings, quiet);
                    named = Some(told);
                    (Some(path), loaded.mask)
                }
                Source::Labelme(path) => {
                    let mask = labelme::mask(&path, self.given.labels.mask_label.as_deref(), size)?;
                    (Some(path), mask)
                }
                Source::Marks(index, place) => {
                    let mask = self.given.marks.mask(index, &image, rgb)?;
                    if let Some(path) = &place {
                        // An earlier run may have written the same mask.
                        let same = path.exists() && image_io::load_mask(path, size).is_ok_and(|old| old.mask == mask);
                        if !same {
                            image_io::write_mask(path, &mask, force)?;
                        }
                    }
                    (place, mask)
                }
                Source::Drawn(path, shot) => (Some(path), shot.mask(size)?),
            };
            let data = Example::shared(rgb.clone(), mask)?;
            let data = match image.file_name() {
                Some(name) => data.named(name.to_string_lossy()),
                None => data,
            };
            let named = named.unwrap_or_else(|| path.as_ref().unwrap_or(&image).display().to_string());
            Ok((kind, Support { image, mask: path, named, data }))
        };
        planned.into_iter().zip(of_image).map(read).collect()
    }
}

/// A mask's file in warnings, and which of its values was read where each is a class.
fn with_value(path: &Path, reading: MaskReading, all_values: bool) -> String {
    match reading.source {
        MaskSource::Value(number) if all_values => format!("{}, value {number}", path.display()),
        _ => path.display().to_string(),
    }
}

/// The class and the picture of `cat:a.png`. If a file has the whole name, there is no class; a drive letter is no class either.
fn named(given: &Path) -> (Option<String>, &Path) {
    let Some((name, path)) = given.to_str().and_then(|text| text.split_once(':')) else { return (None, given) };
    let is_name = name.chars().count() > 1 && !name.contains(['/', '\\']) && !path.is_empty();
    match is_name && !given.exists() {
        true => (Some(name.to_owned()), Path::new(path)),
        false => (None, given),
    }
}

/// Warns of masks that nearly vanish at the network's size.
pub fn warn_of_small_masks<'a>(supports: impl IntoIterator<Item = &'a Support>, size: u32, framing: Framing) {
    for support in supports {
        let mask = support.data.mask();
        if let Some(warning) = MaskWarning::between(&mask, &framing.mask(&mask, size)) {
            tell(&format!("warning: {}: {warning}", support.named));
        }
    }
}
