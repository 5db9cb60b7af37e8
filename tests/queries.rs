//! The overhead of a query.

mod common;

use common::{Fixture, gpu};
use diffews_wgpu::{GuidedFilter, Precision, Segmenter};
use std::cell::Cell;

thread_local!(static READBACKS: Cell<usize> = const { Cell::new(0) });

/// Counts the engine's readbacks, per thread.
struct Counting;

impl log::Log for Counting {
    fn enabled(&self, _: &log::Metadata) -> bool {
        true
    }

    fn log(&self, record: &log::Record) {
        if record.target().starts_with("diffews_wgpu") && record.args().to_string().starts_with("readback of ") {
            READBACKS.set(READBACKS.get() + 1);
        }
    }

    fn flush(&self) {}
}

/// Each readback makes the device wait for the host.
#[test]
fn a_query_is_read_back_once() {
    log::set_logger(&Counting).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let fixture = Fixture::named("odd");
    for filter in [GuidedFilter::OFF, GuidedFilter { radius: 2, epsilon: 1e-5 }] {
        for precision in [Precision::F32, Precision::F16] {
            let builder = Segmenter::builder().gpu(gpu()).model(fixture.model());
            let segmenter = builder.guided_filter(filter).precision(precision).build().unwrap();
            // Ignore those of the self-check.
            READBACKS.set(0);
            let bank = segmenter.encode(&fixture.supports()).unwrap();
            // The latents of a picture and its mask.
            assert_eq!(READBACKS.replace(0), 2, "{precision:?}");
            segmenter.segment(&bank, &fixture.query()).unwrap();
            assert_eq!(READBACKS.replace(0), 1, "{precision:?} {filter:?}");
        }
    }
}
