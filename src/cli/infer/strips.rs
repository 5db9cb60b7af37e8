//! A query that is too large for memory: a TIFF, read by rows and segmented by tiles.

use super::super::engine::{Engine, Setup, Watch};
use super::super::errors::usage;
use super::super::job::{Job, is_npy};
use super::super::report::{Examples, Machine, Report};
use super::super::{json_line, print, progress};
use super::Args;
use diffews_wgpu::SupportBank;
use diffews_wgpu::formats::{Category, Format, Picture, geotiff};
use diffews_wgpu::image_io::{
    self, GeoTags, ImageError, MAX_PIXELS, ObjectOptions, PictureOptions, PictureStrips, RowSamples, is_standard,
    write_png_rows,
};
use diffews_wgpu::segment::{StripMap, StripPrediction};
use std::path::Path;

/// Opens the query if tiles are cut and it is too large to read at once.
///
/// # Errors
/// Flags that such a query does not support.
pub fn open(args: &Args, job: &Job, options: &PictureOptions) -> anyhow::Result<Option<PictureStrips>> {
    if args.tiles.tiles()?.is_none() || is_standard(&job.query) {
        return Ok(None);
    }
    // Other files are read at once, and a pipe can be read only once.
    if image_io::check_ordinary(&job.query).is_err() || !image_io::is_tiff(&job.query) {
        return Ok(None);
    }
    let strips = match PictureStrips::open(&job.query, options) {
        Ok(strips) => strips,
        // If it fits memory, read it as usual, which reports other errors.
        Err(error @ ImageError::NotInStrips { .. }) => match image_io::dimensions(&job.query) {
            Err(ImageError::TooManyPixels { .. }) => return Err(error.into()),
            _ => return Ok(None),
        },
        Err(_) => return Ok(None),
    };
    let (width, height) = strips.size();
    if u64::from(width) * u64::from(height) <= MAX_PIXELS {
        return Ok(None);
    }
    let npy = job.probabilities().any(|path| is_npy(path));
    let asked = [
        ("--show", args.show),
        ("--trace", args.trace.is_some()),
        ("--format npz", args.format.format == Format::Npz),
        ("--probability, but as .png,", npy),
        ("- for a result", job.outputs().any(is_standard)),
    ];
    match asked.iter().find(|(_, given)| *given) {
        Some((flag, _)) => {
            let query = job.query.display();
            Err(usage(format!(
                "{query}: {width} x {height} pixels are read in parts, and {flag} does not support that yet"
            )))
        }
        None => Ok(Some(strips)),
    }
}

/// The outputs that it shares with other queries.
pub struct Shared<'a> {
    /// The classes as formats have them.
    pub categories: &'a [Category],
    /// The one file of the run, in formats that have one.
    pub run_file: Option<&'a Path>,
}

/// Segments it and writes the results.
pub fn run(
    args: &Args,
    job: &Job,
    mut strips: PictureStrips,
    (setup, engine, examples): (&Setup, &Engine, &Examples),
    shared: &Shared,
    watch: &mut dyn Watch,
) -> anyhow::Result<()> {
    let Some(tiles) = setup.tiles else { return Err(usage("a picture that is read in parts is cut into tiles")) };
    let (segmenter, rule) = (&engine.segmenter, engine.segmenter.mask_rule());
    let (format, force) = (args.format.format, args.force);
    let banks: Vec<&SupportBank> = engine.banks.iter().collect();
    let maps = segmenter.segment_strips(&banks, &mut strips, tiles, &mut |stage, done| watch.step(stage, done))?;
    watch.clear();
    let machine = |map: &StripMap| Machine::of(segmenter, Some(tiles), map.precision());
    let Some((machine, times)) = maps.first().map(|map| (machine(map), engine.times(map.times()))) else {
        return Err(usage("there is no example"));
    };
    let margin = (examples.are_named() || format == Format::LabelMap).then_some(args.margin as f32);
    let mut found = StripPrediction::new(maps, rule, margin, examples.have_negatives())?;
    let options = args.format.objects();
    if args.json || options != ObjectOptions::default() || !format.is_picture() {
        found.keep_objects(&options)?;
    }
    let _writing = progress::writing();
    if format.is_picture() {
        if let Some(path) = &job.result {
            write_picture(path, &found, (format, margin.is_some()), strips.place(), force)?;
        }
    } else {
        let (name, regions) = (job.query.to_string_lossy(), found.regions()?);
        let picture = Picture::of_objects(0, &name, found.size(), (shared.categories, &regions))?;
        drop(regions);
        let output = args.format.output();
        if let Some(path) = &job.result {
            output.write(path, &picture, (shared.categories, None), strips.place(), force)?;
        } else if let Some(path) = shared.run_file {
            let mut file = output.begin(path, force, shared.categories)?;
            file.add(&picture)?;
            file.finish()?;
        }
    }
    for (path, map) in job.probabilities().zip(found.maps()) {
        write_png_rows(path, map.size(), RowSamples::GreySixteen, force, &mut probability(map)?)?;
    }
    if let Some(path) = &job.overlay {
        let mut next = found.painted_rows(&mut strips)?;
        write_png_rows(path, found.size(), RowSamples::Rgb, force, &mut |_| next())?;
    }
    for (label, class) in (1..=255).zip(&job.classes) {
        if let Some(path) = &class.mask {
            let mut next = found.class_rows(label)?;
            write_png_rows(path, found.size(), RowSamples::Grey, force, &mut |_| next())?;
        }
    }
    let report = Report::of_strips(machine, examples, job, (&found, &found.class_extents()?), rule, &times);
    match args.json {
        true => print(&json_line(&report)?)?,
        false if args.quiet => {}
        false => print(&report.summary())?,
    }
    Ok(())
}

/// Writes a mask or a label map.
fn write_picture(
    path: &Path,
    found: &StripPrediction,
    (format, labelled): (Format, bool),
    place: Option<&GeoTags>,
    force: bool,
) -> anyhow::Result<()> {
    let mut next = found.rows()?;
    let samples = if labelled { RowSamples::Label } else { RowSamples::Grey };
    match format {
        Format::Tiff => geotiff::save_rows(path, found.size(), place, force, &mut next)?,
        _ => write_png_rows(path, found.size(), samples, force, &mut |_| next())?,
    }
    Ok(())
}

/// The rows of a map as 16-bit samples.
fn probability(map: &StripMap) -> Result<impl FnMut(u32) -> Result<Vec<u8>, ImageError> + '_, ImageError> {
    let mut next = map.rows()?;
    Ok(move |_| Ok(next()?.iter().flat_map(|v| ((v.clamp(0.0, 1.0) * 65535.0 + 0.5) as u16).to_be_bytes()).collect()))
}
