//! The library as programs use it: its public interface, and its handling of f16 overflow.

mod common;

use common::{Fixture, golden, gpu, rewritten};
use diffews_wgpu::image_io::{ImageError, RgbImage};
use diffews_wgpu::plan::Policy;
use diffews_wgpu::weights::{ModelFiles, Weights};
use diffews_wgpu::{Error, Example, Gpu, Mask, Precision, Segmenter, Stage, SupportBank, open_image};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::task::Poll;

fn shared<T: Send + Sync>() {}

fn fixture(name: &str) -> PathBuf {
    golden().join("odd").join(name)
}

fn example() -> Example {
    Example::open(fixture("support_0.png"), fixture("support_0_mask.png")).unwrap()
}

fn odd() -> Segmenter {
    Segmenter::builder().weights(golden().join("odd")).gpu(gpu()).precision(Precision::F32).build().unwrap()
}

fn bits(segmenter: &Segmenter, bank: &SupportBank, query: &RgbImage) -> Vec<u32> {
    segmenter.segment(bank, query).unwrap().map().values().iter().map(|v| v.to_bits()).collect()
}

#[test]
fn a_program_segments_a_picture() {
    let segmenter = odd();
    let bank = segmenter.encode(&[example()]).unwrap();
    let query = open_image(fixture("query.png")).unwrap();
    let mut stages = Vec::new();
    let found = segmenter.segment_with(&bank, &query, &mut |stage, share| {
        assert!((0.0..=1.0).contains(&share));
        stages.push(stage);
        ControlFlow::Continue(())
    });
    let (found, same) = (found.unwrap(), segmenter.segment(&bank, &query).unwrap());
    stages.dedup();
    assert_eq!(stages, [Stage::EncodeQuery, Stage::Query, Stage::Decode]);
    assert_eq!(found.times().iter().map(|t| t.0).collect::<Vec<_>>(), stages);
    assert_eq!(found.mask().as_bytes(), same.mask().as_bytes());
    assert_eq!((found.mask().width(), found.mask().height()), query.dimensions());
    assert_eq!((found.map().width(), found.map().height()), (segmenter.size(), segmenter.size()));
    let on = found.mask().as_bytes().iter().filter(|&&byte| byte == 1).count();
    assert!(on > 0 && found.mask().as_bytes().iter().all(|&byte| byte < 2));
    let box_ = found.bounding_box().unwrap();
    assert!(u64::from(box_.width) * u64::from(box_.height) >= on as u64);
    assert_eq!((found.precision(), bank.precision(), segmenter.precision()), {
        (Precision::F32, Precision::F32, Precision::F32)
    });
    assert!(found.overflow().is_none() && bank.overflow().is_none() && segmenter.overflow().is_none());

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mask.png");
    found.mask().save(&path).unwrap();
    assert!(matches!(found.mask().save(&path), Err(ImageError::Exists { .. })));
    let saved = image::open(&path).unwrap().to_luma8().into_raw();
    assert!(saved.iter().zip(found.mask().as_bytes()).all(|(&grey, &byte)| grey == 255 * byte));
}

#[test]
fn a_call_is_broken_off_and_the_next_one_is_whole() {
    let segmenter = odd();
    let bank = segmenter.encode(&[example()]).unwrap();
    let query = open_image(fixture("query.png")).unwrap();
    let before = bits(&segmenter, &bank, &query);
    for at in [Stage::EncodeQuery, Stage::Query, Stage::Decode] {
        let stop = |stage| if stage == at { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let stopped = segmenter.segment_with(&bank, &query, &mut |stage, _| stop(stage));
        assert!(matches!(stopped, Err(Error::Interrupted)), "{at}");
        assert_eq!(bits(&segmenter, &bank, &query), before);
    }
    // Nor does a panicking call spoil subsequent ones.
    let panicked = || segmenter.segment_with(&bank, &query, &mut |_, _| panic!("on purpose")).is_ok();
    assert!(catch_unwind(AssertUnwindSafe(panicked)).is_err());
    assert_eq!(bits(&segmenter, &bank, &query), before);
    let stopped = segmenter.encode_with(&[example()], &mut |_, _| ControlFlow::Break(()));
    assert!(matches!(stopped, Err(Error::Interrupted)));
}

#[test]
fn threads_share_a_segmenter_and_its_banks() {
    shared::<Segmenter>();
    shared::<SupportBank>();
    let segmenter = odd();
    let bank = segmenter.encode(&[example()]).unwrap();
    let queries = [open_image(fixture("query.png")).unwrap(), RgbImage::new(50, 40)];
    let alone = queries.each_ref().map(|query| bits(&segmenter, &bank, query));
    assert_ne!(alone[0], alone[1]);
    std::thread::scope(|scope| {
        for i in 0..6 {
            let (segmenter, bank, queries, alone) = (&segmenter, &bank, &queries, &alone);
            scope.spawn(move || {
                let own = segmenter.encode(&[example()]).unwrap();
                let bank = if i < 3 { bank } else { &own };
                assert_eq!(bits(segmenter, bank, &queries[i % 2]), alone[i % 2]);
            });
        }
    });
}

/// One thread polls them in turn, as a browser does; one of them is dropped halfway.
#[test]
fn calls_that_are_awaited_together_take_turns() {
    let quiet = |_, _| ControlFlow::Continue(());
    let builder = Segmenter::builder().weights(golden().join("odd")).gpu(gpu()).precision(Precision::F32);
    let segmenter = pollster::block_on(builder.build_async(&mut { quiet })).unwrap();
    let bank = pollster::block_on(segmenter.encode_async(&[example()], &mut { quiet })).unwrap();
    let query = open_image(fixture("query.png")).unwrap();
    let alone = bits(&segmenter, &bank, &query);
    let call = || {
        Box::pin(async {
            let found = segmenter.segment_async(&bank, &query, &mut { quiet }).await.unwrap();
            found.map().values().iter().map(|v| v.to_bits()).collect::<Vec<u32>>()
        })
    };
    let (mut calls, mut turns) = ([call(), call(), call()].map(Some), 0);
    let all = std::future::poll_fn(|context| {
        for slot in &mut calls {
            if let Some(call) = slot
                && let Poll::Ready(found) = call.as_mut().poll(context)
            {
                assert!(found == alone);
                *slot = None;
            }
        }
        turns += 1;
        if turns == 2 {
            // It is running by now, and the others wait for it.
            calls[0] = None;
        }
        if calls.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
    });
    pollster::block_on(all);
    let examples = [example()];
    let broken = pollster::block_on(segmenter.encode_async(&examples, &mut |_, _| ControlFlow::Break(())));
    assert!(matches!(broken, Err(Error::Interrupted)));
    assert!(bits(&segmenter, &bank, &query) == alone);
}

#[test]
fn a_bank_of_another_segmenter_is_refused_with_both_named() {
    let one = odd();
    let other = Segmenter::builder().weights(golden().join("odd")).gpu(one.gpu().clone()).build().unwrap();
    let larger = Segmenter::builder().weights(golden().join("odd")).size(one.size() * 2).gpu(gpu()).build().unwrap();
    let sd21 = Segmenter::builder().model(Fixture::named("sd21").model()).gpu(gpu()).build().unwrap();
    let query = open_image(fixture("query.png")).unwrap();
    for (foreign, fact) in [(&other, "odd"), (&larger, "another segmenter"), (&sd21, "sd21")] {
        let bank = foreign.encode(&[example()]).unwrap();
        let error = one.segment(&bank, &query).err().unwrap().to_string();
        let side = foreign.size();
        assert!(error.contains(fact) && error.contains(&format!("{side} x {side}")), "{error}");
        assert!(error.contains(&one.gpu().facts().name) && error.lines().count() == 1, "{error}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let refused = |segmenter: Result<Segmenter, Error>| segmenter.err().unwrap().to_string();
    assert!(refused(Segmenter::builder().unet("unet").build()).contains("UNet"));
    let absent = Segmenter::builder().weights("no such directory").build();
    assert!(refused(absent).contains("no such directory"));
    assert!(refused(Segmenter::builder().size(100).build()).contains("100"));
    assert!(odd().encode(&[]).err().unwrap().to_string().contains("example"));
    let error = Example::new(RgbImage::new(2, 3), Mask::new(3, 2, vec![true; 6]).unwrap()).err().unwrap();
    assert!(error.to_string().contains("3 x 2"), "{error}");
}

/// The fixture's model, with `bias` as the bias of its decoder's first layer.
fn biased(bias: f32) -> ModelFiles {
    let dir = golden().join("odd");
    let mut files = ModelFiles::open(&dir, None).unwrap();
    let vae = rewritten(&dir.join("vae"), "decoder.conv_in.bias", |values, _| values[0] = bias);
    files.vae = Weights::from_bytes("rewritten", vae).unwrap();
    files
}

fn segmenter(files: ModelFiles, precision: Precision, gpu: Gpu) -> Segmenter {
    Segmenter::builder().files(files).precision(precision).gpu(gpu).build().unwrap()
}

/// Each result has the same bits as from a fresh segmenter, whatever came before.
#[test]
fn a_query_that_overflows_halves_is_answered_in_f32_and_others_are_not() {
    let queries = [open_image(fixture("query.png")).unwrap(), RgbImage::new(64, 64)];
    // f16 ends at 65520; the queries differ in how near they come to it.
    let gpu = gpu();
    let overflowed = |bias: f32| {
        let halves = segmenter(biased(bias), Precision::F16, gpu.clone());
        let bank = halves.encode(&[example()]).unwrap();
        queries.each_ref().map(|query| halves.segment(&bank, query).unwrap().overflow().is_some())
    };
    let (mut low, mut high) = (65000.0, 65600.0);
    assert_eq!((overflowed(low), overflowed(high)), ([false; 2], [true; 2]));
    let (bias, which) = loop {
        let bias = (low + high) / 2.0;
        match overflowed(bias) {
            [true, true] => high = bias,
            [false, false] => low = bias,
            which => break (bias, which),
        }
        assert!(high - low > 0.01, "both queries come as near");
    };
    let (large, small) = if which[0] { (&queries[0], &queries[1]) } else { (&queries[1], &queries[0]) };
    let full = segmenter(biased(bias), Precision::F32, gpu.clone());
    let expected = bits(&full, &full.encode(&[example()]).unwrap(), large);

    let halves = segmenter(biased(bias), Precision::F16, gpu);
    let bank = halves.encode(&[example()]).unwrap();
    let (before, bytes) = (bits(&halves, &bank, small), halves.loaded_bytes());
    for _ in 0..2 {
        let found = halves.segment(&bank, large).unwrap();
        assert_eq!((found.precision(), halves.precision()), (Precision::F32, Precision::F16));
        let overflow = found.overflow().unwrap().to_string();
        assert!(overflow.contains("decode") && !overflow.contains("f32"), "{overflow}");
        assert!(found.map().values().iter().map(|v| v.to_bits()).eq(expected.iter().copied()));
        let found = halves.segment(&bank, small).unwrap();
        assert_eq!((found.precision(), found.overflow().is_none()), (Precision::F16, true));
        assert_eq!(bits(&halves, &bank, small), before);
    }
    assert!(halves.loaded_bytes() > bytes);
    // Loading and encoding again count towards the query that needed them.
    let stages: Vec<Stage> = {
        let other = halves.encode(&[example()]).unwrap();
        halves.segment(&other, large).unwrap().times().iter().map(|t| t.0).collect()
    };
    assert_eq!(stages.iter().filter(|&&stage| stage == Stage::Support).count(), 1, "{stages:?}");
    assert!(!stages.contains(&Stage::Load), "{stages:?}");
}

/// If memory holds a single precision, it is f32 from then on; if not even f32 weights in turn fit, the error says so.
#[test]
fn halves_go_where_both_do_not_fit() {
    let query = open_image(fixture("query.png")).unwrap();
    let peak = |precision| {
        let planned = Segmenter::builder().files(biased(2e5)).precision(precision).gpu(gpu()).plan().unwrap();
        (planned.memory().peak(), planned.memory().least)
    };
    let ((halves, least_of_halves), (full, least)) = (peak(Precision::F16), peak(Precision::F32));
    assert!(least_of_halves < least && least < full, "{least_of_halves} {least} {full}");
    let with = |memory: u64| {
        let builder = Segmenter::builder().files(biased(2e5)).precision(Precision::F16).gpu(gpu());
        let segmenter = builder.memory(memory).build().unwrap();
        let bank = segmenter.encode(&[example()]).unwrap();
        (segmenter, bank)
    };
    let (both, bank) = with(halves + full);
    both.segment(&bank, &query).unwrap();
    assert_eq!(both.loaded_bytes(), halves + full);

    let (one, bank) = with(full);
    let expected = bits(&both, &bank_of(&both), &query);
    for overflowed in [true, false] {
        let found = one.segment(&bank, &query).unwrap();
        assert_eq!((found.precision(), found.overflow().is_some()), (Precision::F32, overflowed));
        assert!(found.map().values().iter().map(|v| v.to_bits()).eq(expected.iter().copied()));
    }
    assert_eq!(one.loaded_bytes(), full);
    let later = one.encode(&[example()]).unwrap();
    assert_eq!(later.precision(), Precision::F32);
    assert_eq!(bits(&one, &later, &query), expected);

    // f32 with weights in turn.
    let (some, bank) = with(least);
    assert_eq!(bits(&some, &bank, &query), expected);
    let (none, bank) = with(least - 1);
    for _ in 0..2 {
        let error = none.segment(&bank, &query).err().unwrap();
        assert!(matches!(error, Error::Overflow { .. }), "{error}");
        assert!(error.to_string().contains("stored as f32"), "{error}");
    }
}

fn bank_of(segmenter: &Segmenter) -> SupportBank {
    segmenter.encode(&[example()]).unwrap()
}

#[test]
fn weights_that_halves_do_not_hold_are_f32_from_the_start() {
    let dir = golden().join("odd");
    let files = || {
        let mut files = ModelFiles::open(&dir, None).unwrap();
        let unet = rewritten(&dir.join("unet"), "conv_in.weight", |values, _| values[0] = 1e6);
        files.unet = Weights::from_bytes("rewritten", unet).unwrap();
        files
    };
    let query = open_image(fixture("query.png")).unwrap();
    let (halves, full) = (segmenter(files(), Precision::F16, gpu()), segmenter(files(), Precision::F32, gpu()));
    assert!(halves.overflow().unwrap().to_string().contains("conv_in.weight"));
    assert!(full.overflow().is_none());
    assert_eq!(halves.precision(), Precision::F32);
    assert_eq!(bits(&halves, &bank_of(&halves), &query), bits(&full, &bank_of(&full), &query));
}

/// Weights in turn are the same weights: every bit of a result is the same, whatever the memory.
#[test]
fn weights_in_turn_change_no_result() {
    let query = open_image(fixture("query.png")).unwrap();
    let files = || ModelFiles::open(&golden().join("odd"), None).unwrap();
    for precision in [Precision::F32, Precision::F16, Precision::Q8] {
        let builder = || Segmenter::builder().files(files()).precision(precision).gpu(gpu());
        let whole = builder().build().unwrap();
        let two = [example(), example()];
        let expected = [bits(&whole, &bank_of(&whole), &query), bits(&whole, &whole.encode(&two).unwrap(), &query)];
        let (peak, least) = (whole.memory().peak(), whole.memory().least);
        for memory in [peak - 1, (peak + least) / 2, least] {
            let planned = builder().memory(memory).plan().unwrap();
            let in_turn = planned.memory().in_turn.expect("some weights take turns");
            assert!(planned.memory().peak() <= memory && in_turn.per_query > 0, "{:?}", planned.memory());
            assert!(memory > least || in_turn.parts.iter().sum::<usize>() > 20, "{in_turn:?}");
            let segmenter = planned.allocate().unwrap();
            assert_eq!(segmenter.memory_limit(), Some(memory));
            // With the same weights again, and with a bank of another size.
            let bank = bank_of(&segmenter);
            for _ in 0..2 {
                assert_eq!(bits(&segmenter, &bank, &query), expected[0], "{precision:?} in {memory} bytes");
            }
            let bank = segmenter.encode(&two).unwrap();
            assert_eq!(bits(&segmenter, &bank, &query), expected[1], "{precision:?} in {memory} bytes");
        }
        let error = builder().memory(least - 1).plan().err().unwrap().to_string();
        let told = format!("at least {:.1} MiB if weights take turns", least as f64 / 1048576.0);
        assert!(error.contains(&told), "{error}");
    }
}

/// The best precision that needs no turns, of those that fit beside f32.
#[test]
fn less_precision_comes_before_turns() {
    let peak = |precision| {
        let planned = Segmenter::builder().files(biased(1.0)).precision(precision).gpu(gpu()).plan().unwrap();
        planned.memory().peak()
    };
    let (halves, full) = (peak(Precision::F16), peak(Precision::F32));
    for (memory, storage, whole) in
        [(full, Policy::F32, true), (full - 1, Policy::PACKED, true), (halves - 1, Policy::PACKED, false)]
    {
        let planned = Segmenter::builder().files(biased(1.0)).memory(memory).gpu(gpu()).plan().unwrap();
        assert_eq!((planned.memory().storage, planned.memory().in_turn.is_none()), (storage, whole));
    }
}
