//! A query that is too large for memory: a TIFF, read by rows and segmented by tiles.

use super::super::engine::{Engine, Setup, Watch};
use super::super::errors::usage;
use super::super::format::Format;
use super::super::job::{Job, is_npy};
use super::super::report::{Examples, Machine, Report, Summary};
use super::super::{json_line, print, progress};
use super::Args;
use diffews_wgpu::formats::geotiff;
use diffews_wgpu::image_io::{
    self, GreyBits, ImageError, MAX_PIXELS, ObjectOptions, PictureOptions, PictureStrips, is_standard, write_grey_rows,
};
use diffews_wgpu::segment::StripMap;

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
    let changed = args.format.objects() != ObjectOptions::default();
    let asked = [
        ("--overlay", args.overlay.is_some()),
        ("--show", args.show),
        ("--trace", args.trace.is_some()),
        ("--min-area, --fill-holes and --largest", changed),
        ("--format, but png and tiff,", !matches!(args.format.format, Format::Png | Format::Tiff)),
        ("--probability, but as .png,", job.probability.as_deref().is_some_and(is_npy)),
        ("several classes and --negative", !job.classes.is_empty() || args.examples.has_negatives()),
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

/// Segments the query and writes the results.
pub fn run(
    args: &Args,
    job: &Job,
    mut strips: PictureStrips,
    (setup, engine, examples): (&Setup, &Engine, &Examples),
    watch: &mut dyn Watch,
) -> anyhow::Result<()> {
    let Some((tiles, bank)) = setup.tiles.zip(engine.banks.first()) else { return Err(usage("there is no example")) };
    let (segmenter, rule) = (&engine.segmenter, engine.segmenter.mask_rule());
    let map = segmenter.segment_strips(bank, &mut strips, tiles, &mut |stage, done| watch.step(stage, done))?;
    watch.clear();
    let found = map.found(rule)?;
    let _writing = progress::writing();
    let (size, force) = (map.size(), args.force);
    if let Some(path) = &job.result {
        let mut next = map.mask_rows(rule, &found)?;
        match args.format.format {
            Format::Tiff => geotiff::save_rows(path, size, strips.place(), force, &mut next)?,
            _ => write_grey_rows(path, size, GreyBits::Eight, force, &mut |_| next())?,
        }
    }
    if let Some(path) = &job.probability {
        write_grey_rows(path, size, GreyBits::Sixteen, force, &mut probability(&map)?)?;
    }
    let machine = Machine::of(segmenter, Some(tiles), map.precision());
    let summary = Summary {
        size,
        foreground_fraction: found.foreground as f64 / (f64::from(size.0) * f64::from(size.1)),
        bounding_box: found.bounding_box,
        score: Some(found.score),
    };
    let report = Report::of(machine, examples, job, summary, rule, &engine.times(map.times()));
    match args.json {
        true => print(&json_line(&report)?)?,
        false if args.quiet => {}
        false => print(&report.summary())?,
    }
    Ok(())
}

/// The rows of a 16-bit picture.
fn probability(map: &StripMap) -> Result<impl FnMut(u32) -> Result<Vec<u8>, ImageError> + '_, ImageError> {
    let mut next = map.rows()?;
    Ok(move |_| Ok(next()?.iter().flat_map(|v| ((v.clamp(0.0, 1.0) * 65535.0 + 0.5) as u16).to_be_bytes()).collect()))
}
