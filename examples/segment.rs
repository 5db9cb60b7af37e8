//! The library in its shortest form: `cargo run --release --example segment SUPPORT MASK QUERY OUTPUT [WEIGHTS]`.

use diffews_wgpu::{Example, Segmenter, open_image};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [support, mask, query, output, weights @ ..] = args.as_slice() else {
        return Err("usage: segment SUPPORT MASK QUERY OUTPUT [WEIGHTS]".into());
    };
    let mut builder = Segmenter::builder();
    if let Some(dir) = weights.first() {
        builder = builder.weights(dir);
    }
    let planned = builder.plan()?;
    eprint!("{}", planned.memory());
    let segmenter = planned.allocate()?;

    let example = Example::open(support, mask)?;
    for warning in example.warnings() {
        eprintln!("warning: {mask}: {warning}");
    }
    let bank = segmenter.encode(&[example])?;
    let found = segmenter.segment(&bank, &open_image(query)?)?;
    for (stage, seconds) in bank.times().iter().chain(found.times()) {
        eprintln!("{stage:<15} {seconds:.3} s");
    }
    found.mask().save(output)?;
    Ok(())
}
