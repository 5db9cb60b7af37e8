//! The library in its shortest form: `cargo run --release --example segment SUPPORT MASK QUERY OUTPUT [WEIGHTS]`.

use diffews_wgpu::weights::ModelFiles;
use diffews_wgpu::{Gpu, Model, Options, Segmenter, image_io};
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [support, mask, query, output, weights @ ..] = args.as_slice() else {
        return Err("usage: segment SUPPORT MASK QUERY OUTPUT [WEIGHTS]".into());
    };
    let files = match weights.first() {
        Some(dir) => ModelFiles::open(Path::new(dir), None)?,
        None => ModelFiles::embedded()?,
    };
    let model = Model::load(files)?;
    let threshold = model.default_threshold();
    let quiet = &mut |_, _| true;
    let planned = Segmenter::plan(Gpu::new(&Default::default())?, model, Options::default())?;
    eprint!("{}", planned.memory());
    let segmenter = planned.allocate(quiet)?;

    let image = image_io::load_rgb(Path::new(support))?;
    let loaded = image_io::load_mask(Path::new(mask), image.dimensions())?;
    for warning in loaded.warnings {
        eprintln!("warning: {mask}: {warning}");
    }
    let bank = segmenter.encode_support(&[(image, loaded.mask)], quiet)?;

    let image = image_io::load_rgb(Path::new(query))?;
    let (width, height) = image.dimensions();
    let found = segmenter.segment(&bank, &image, quiet)?;
    for (stage, seconds) in bank.times().iter().chain(&found.times) {
        eprintln!("{stage:<15} {seconds:.3} s");
    }
    image_io::write_mask(Path::new(output), &found.map.mask_at(width, height, threshold)?, false)?;
    Ok(())
}
