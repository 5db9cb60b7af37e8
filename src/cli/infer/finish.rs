//! From a query's map to its files and its report, on a worker thread.

use super::super::job::{Existing, Job};
use super::super::report::{Examples, Machine, Report};
use super::super::{json_line, show};
use super::Args;
use super::load::Loaded;
use diffews_wgpu::Stage;
use diffews_wgpu::formats::{Category, Format, Picture};
use diffews_wgpu::image_io::{DecodedMap, ObjectOptions, Prediction};
use diffews_wgpu::settings::MaskRule;
use std::path::Path;

/// A computed query.
pub struct Computed {
    pub loaded: Loaded,
    /// One for each class.
    pub maps: Vec<DecodedMap>,
    pub machine: Machine,
    pub times: Vec<(Stage, f64)>,
}

/// The message for a finished query.
pub enum Message {
    /// The object for programs.
    Json(String),
    /// The line for people, and a drawing.
    Line(Option<String>, Option<String>),
    /// Nothing: another run has written all files meanwhile.
    AlreadyThere,
}

/// How queries are written.
pub struct Written<'a> {
    pub args: &'a Args,
    /// The classes, for the reports.
    pub examples: &'a Examples,
    /// The classes, for the formats.
    pub categories: &'a [Category],
    pub rule: MaskRule,
}

/// The outcome of a query.
pub struct Finished {
    pub said: Message,
    /// For the file that all queries share.
    pub picture: Option<Picture>,
}

impl Written<'_> {
    /// Writes the files of the query of `job`, which has this number.
    pub fn write(&self, number: usize, job: &Job, computed: Computed, existing: Existing) -> anyhow::Result<Finished> {
        let Written { args, examples, categories, rule } = *self;
        let (format, options) = (&args.format, args.format.objects());
        let Computed { loaded, maps, machine, times } = computed;
        let size = loaded.size;
        let labelled = examples.are_named() || format.format == Format::LabelMap;
        let margin = labelled.then_some(args.margin as f32);
        let mut found = Prediction::new(maps, size, rule, margin, examples.have_negatives())?;
        let changed = options != ObjectOptions::default();
        let objects = match args.json || changed || !format.format.is_picture() {
            true => Some(found.keep_objects(&options)?),
            false => None,
        };
        let picture = match (&objects, format.format.is_picture()) {
            (Some(objects), false) => {
                Some(Picture::of_objects(number, &job.query.to_string_lossy(), size, (categories, objects))?)
            }
            _ => None,
        };
        let place = loaded.place.as_ref();
        let result = |path: &Path, force: bool| match &picture {
            Some(picture) => format.output().write(path, picture, (categories, Some(&found)), place, force),
            None => format.format.write_picture(path, &found, place, force),
        };
        if !job.write(loaded.whole.as_ref(), &found, size, existing, &result)? && job.result.is_some() {
            return Ok(Finished { said: Message::AlreadyThere, picture: None });
        }
        let mask = found.foreground();
        let report = Report::new(machine, examples, job, (&found, objects.as_deref()), rule, &times);
        let said = match args.json {
            true => Message::Json(json_line(&report)?),
            false => {
                let drawing = loaded.whole.filter(|_| args.show).map(|rgb| show::draw(&rgb, &mask));
                Message::Line((!args.quiet).then(|| report.summary()), drawing)
            }
        };
        Ok(Finished { said, picture: picture.filter(|_| job.result.is_none()) })
    }
}
