//! Which forms layers get, and how their operations are counted.

use super::*;
use crate::plan::{Dispatch, Element, Forms, Limits, Policy};
use crate::shader::{Device, Facts, Maker};

/// Multiply-adds of a layer, those of padding, and its form: a direct one, because Winograd's have no tanh.
fn recorded(forms: Forms, (h, w): (u32, u32), cin: u32, cout: u32) -> (u64, u64, &'static str) {
    let mut r = Recorder::new(Policy::F32, forms, Limits::TEST);
    let x = r.input("x", h, w, Channels::one(cin));
    let (inputs, outputs) = (Channels::one(cin), Channels::one(cout));
    let weight = Param { id: 0, name: "weight".into(), taps: 9, inputs, outputs };
    let bias = r.input("bias", 1, 1, Channels::one(cout));
    let out = record(&mut r, "out", &x, &Weights { weight, bias }, Geometry::SAME, Epilogue::Tanh);
    r.output(&out);
    let dispatches = r.finish().unwrap().dispatches;
    let sum = |of: fn(&Dispatch) -> u64| dispatches.iter().map(of).sum::<u64>();
    (sum(|d| d.flops), sum(|d| d.padding), dispatches[0].form.name)
}

#[test]
fn what_fills_up_blocks_counts() {
    // Blocks of the first form are 64 positions by 64 channels, with 16 input channels per step.
    for (size, cin, channels, times) in [
        ((32, 24), 64, 3, 16),
        ((32, 24), 64, 16, 4),
        ((32, 24), 64, 64, 1),
        ((32, 24), 64, 128, 1),
        ((4, 4), 64, 64, 4),
        ((32, 24), 8, 64, 2),
    ] {
        let (flops, padding, form) = recorded(Forms::first(Facts::LEAST), size, cin, channels);
        let (positions, padded) = (u64::from(size.0 * size.1), u64::from(channels).next_multiple_of(4));
        assert_eq!((flops, form), (2 * positions * 9 * u64::from(cin) * padded, "tiled-64"));
        assert_eq!(flops + padding, times * flops, "{size:?}, {cin} -> {channels}");
    }
}

/// The form that the rule gives a 3 x 3 layer, the share of its products that is executed, and the number of bands.
fn by_rule(facts: Facts, limits: Limits, side: u32, cin: u32, cout: u32) -> (&'static str, f64, usize) {
    let mut r = Recorder::new(Policy::F32, Forms::by_rule(facts), limits);
    let x = r.input("x", side, side, Channels::one(cin));
    let weight =
        Param { id: 0, name: "weight".into(), taps: 9, inputs: Channels::one(cin), outputs: Channels::one(cout) };
    let bias = r.input("bias", 1, 1, Channels::one(cout));
    let out = record(&mut r, "out", &x, &Weights { weight, bias }, Geometry::SAME, Epilogue::None);
    r.output(&out);
    let dispatches = r.finish().unwrap().dispatches;
    let sum = |of: fn(&Dispatch) -> u64| dispatches.iter().map(of).sum::<u64>() as f64;
    let executed = sum(|d| d.flops + d.padding) / sum(|d| d.flops + d.saved);
    let products: Vec<&Dispatch> = dispatches.iter().filter(|d| d.kernel.name == KERNEL.name).collect();
    (products[0].form.name, executed, products.len())
}

#[test]
fn winograds_algorithm_is_taken_where_it_pays() {
    let cpu = Facts { device: Device::Cpu, cores: 2, least_lanes: 8, ..Facts::LEAST };
    let gpu = Facts { device: Device::Discrete, cores: 64, least_lanes: 32, f16: true, ..Facts::LEAST };
    for (facts, name, of) in [(cpu, "winograd-broadcast-64", 2), (gpu, "winograd-reg-64", 1)] {
        let (form, executed, bands) = by_rule(facts, Limits::TEST, 64, 320, 320);
        assert!(form == name && executed < 0.3 && bands == of, "{form}: {executed} in {bands} bands");
        // Too few positions for so much more memory; too few channels to pay for the transforms.
        for (side, cin, cout) in [(8, 1280, 1280), (64, 320, 4), (64, 4, 320)] {
            let (form, executed, _) = by_rule(facts, Limits::TEST, side, cin, cout);
            assert!(!form.starts_with("winograd") && executed >= 1.0, "{side}, {cin} -> {cout}: {form}");
        }
    }
}

#[test]
fn straight_texts_are_for_devices_without_range_checks() {
    for (lanes, name) in [(8, "winograd-straight-8-160"), (16, "winograd-straight-16-320")] {
        let facts = Facts { device: Device::Cpu, cores: 2, least_lanes: lanes, range_checks: false, ..Facts::LEAST };
        let (form, executed, _) = by_rule(facts, Limits::TEST, 64, 320, 320);
        assert!(form == name && executed < 0.3, "{form}: {executed}");
        let checked = Facts { range_checks: true, ..facts };
        assert_eq!(by_rule(checked, Limits::TEST, 64, 320, 320).0, "winograd-broadcast-64");
        // Indices beyond the bound that the shader states.
        let large = Limits { max_binding: 1 << 31, max_buffer: 1 << 31, ..Limits::TEST };
        assert!(!by_rule(facts, large, 64, 2560, 2560).0.starts_with("winograd-straight"));
    }
}

#[test]
fn straight_texts_add_each_product_once() {
    let facts = Facts { device: Device::Cpu, cores: 2, least_lanes: 8, range_checks: false, ..Facts::LEAST };
    let mut r = Recorder::new(Policy::F32, Forms::by_rule(facts), Limits::TEST);
    let (inputs, outputs) = (Channels::one(150), Channels::one(34));
    let x = r.input("x", 17, 9, inputs.clone());
    let weight = Param { id: 0, name: "weight".into(), taps: 9, inputs, outputs };
    let bias = r.input("bias", 1, 1, Channels::one(34));
    r.forms = r.forms.forcing("conv2d", "winograd-straight-8-64");
    let out = record(&mut r, "out", &x, &Weights { weight, bias }, Geometry::SAME, Epilogue::None);
    r.output(&out);
    let mut steps: Vec<(u32, u32)> = Vec::new();
    let dispatches = r.finish().unwrap().dispatches;
    for d in dispatches.iter().filter(|d| d.kernel.name == KERNEL.name) {
        let param = |name| u32::from_ne_bytes(d.params[KERNEL.param(name).unwrap()].try_into().unwrap());
        // 15 tiles in blocks of 4, 34 columns in panels of 16.
        assert_eq!((d.workgroups[0], d.workgroups[1]), (4, 3));
        assert_eq!((param("in_w"), 4 * param("in_c4"), 4 * param("out_n4")), (16, 192, 48));
        steps.extend((0..d.workgroups[2]).map(|z| (param("out_y0") + z, param("first"))));
    }
    steps.sort();
    let all = (0..36).flat_map(|matrix| [0, 16, 32].map(|first| (matrix, first)));
    assert_eq!(steps, Vec::from_iter(all));
}

#[test]
fn matrices_of_halves_are_taken_where_they_were_asked_for() {
    let least = Facts { device: Device::Discrete, cores: 64, least_lanes: 32, most_lanes: 32, ..Facts::LEAST };
    let nvidia = Facts { f16: true, matrices: 16, workgroup_bytes: 48 * 1024, ..least };
    let form = |facts, storage, wanted: Option<&str>| {
        let forms = Forms::by_rule(facts);
        let forms = wanted.map_or(forms.clone(), |form| forms.forcing("conv2d", form));
        let mut r = Recorder::new(storage, forms, Limits::TEST);
        let x = r.input("x", 64, 64, Channels::one(320));
        let (inputs, outputs) = (Channels::one(320), Channels::one(320));
        let weight = Param { id: 0, name: "weight".into(), taps: 1, inputs, outputs };
        let bias = r.input("bias", 1, 1, Channels::one(320));
        let out = record(&mut r, "out", &x, &Weights { weight, bias }, Geometry::LINEAR, Epilogue::None);
        r.output(&out);
        r.finish().map(|recording| recording.dispatches[0].form.name).map_err(|error| error.to_string())
    };
    // Listing matrices says nothing about their speed.
    assert_eq!(form(nvidia, Policy::PACKED, None).unwrap(), "reg-64");
    for storage in [Policy::PACKED, Policy::F16] {
        assert_eq!(form(nvidia, storage, Some("coop16")).unwrap(), "coop16");
    }
    for storage in [Policy::F32, Policy::MIXED, Policy::Q8, Policy::Q8_PACKED] {
        assert!(form(nvidia, storage, Some("coop16")).unwrap_err().contains("only takes f16"), "{storage:?}");
    }
    // Subgroups of 64 lanes have a form of their own. Only the listed matrix sizes have forms.
    let amd = Facts { most_lanes: 64, ..nvidia };
    assert!(form(amd, Policy::F16, Some("coop16")).unwrap_err().contains("more than 32 lanes"));
    assert_eq!(form(amd, Policy::F16, Some("coop16-wide")).unwrap(), "coop16-wide");
    assert!(form(nvidia, Policy::F16, Some("coop8")).unwrap_err().contains("8 x 8"));
}

/// Shares of a wide layer's work exceeded 64 bits, so a fifth of a network's was not counted.
#[test]
fn straight_texts_count_what_direct_sums_have() {
    let facts = Facts { device: Device::Cpu, cores: 2, least_lanes: 8, range_checks: false, ..Facts::LEAST };
    let mut r = Recorder::new(Policy::F32, Forms::by_rule(facts), Limits::TEST);
    let x = r.input("x", 128, 128, Channels::one(512));
    let (inputs, outputs) = (Channels::one(512), Channels::one(512));
    let weight = Param { id: 0, name: "weight".into(), taps: 9, inputs, outputs };
    let bias = r.input("bias", 1, 1, Channels::one(512));
    let out = record(&mut r, "out", &x, &Weights { weight, bias }, Geometry::SAME, Epilogue::None);
    r.output(&out);
    let dispatches = r.finish().unwrap().dispatches;
    assert!(dispatches.iter().any(|d| d.form.name == "winograd-straight-8-128"));
    assert_eq!(dispatches.iter().map(|d| d.flops + d.saved).sum::<u64>(), 2 * 9 * 128 * 128 * 512 * 512);
}

/// Bands of 32 tiles, padded to 64, took twice the work, and none of them was shorter.
#[test]
fn short_submissions_do_not_fill_up_bands() {
    let gpu = Facts { device: Device::Integrated, cores: 8, least_lanes: 32, ..Facts::LEAST };
    let limits = Limits { max_work: 1_000_000_000, max_binding: 1 << 28, ..Limits::TEST };
    let (form, executed, bands) = by_rule(gpu, limits, 32, 640, 640);
    assert!(form.starts_with("winograd") && executed < 0.3 && bands == 1, "{form}: {executed} in {bands} bands");
}

/// With a single tile for all shapes, 3 channels took 16 times their work on a GPU.
#[test]
fn narrow_and_small_layers_have_forms_of_their_own_on_gpus() {
    let gpu = Facts { device: Device::Discrete, cores: 64, least_lanes: 32, f16: true, ..Facts::LEAST };
    for (size, channels, form) in [
        ((256, 256), 3, "tiled-4"),
        ((128, 128), 16, "tiled-16"),
        ((128, 128), 32, "tiled-32"),
        ((64, 64), 320, "reg-64"),
        ((4, 4), 1280, "small-64"),
    ] {
        let (flops, padding, name) = recorded(Forms::by_rule(gpu), size, 64, channels);
        assert_eq!((name, padding), (form, 0), "{size:?} x {channels}: {flops}");
    }
    // Larger blocks where they fill the device, and none where compilers spill them.
    assert_eq!(recorded(Forms::by_rule(gpu), (128, 128), 64, 512).2, "reg-128");
    let intel = Facts { maker: Maker::Intel, ..gpu };
    assert_eq!(recorded(Forms::by_rule(intel), (64, 64), 64, 320).2, "tiled-64");
    // On one core, few positions alone are no reason.
    let cpu = Facts { device: Device::Cpu, cores: 1, least_lanes: 8, ..Facts::LEAST };
    let name = |channels| recorded(Forms::by_rule(cpu), (16, 16), 64, channels).2;
    assert_eq!([64, 32, 12, 8, 3].map(name), ["broadcast-64", "broadcast-32", "rows-12", "rows-8", "rows-4"]);
    let name = |channels| recorded(Forms::by_rule(Facts { least_lanes: 4, ..cpu }), (16, 16), 64, channels).2;
    assert_eq!([64, 32, 12, 8, 3].map(name), ["rows-64", "rows-32", "rows-12", "rows-8", "rows-4"]);
}

/// f16 weights are read directly. f16 values are not, and no other storage takes more memory.
#[test]
fn straight_texts_take_weights_in_halves() {
    let facts = Facts { device: Device::Cpu, cores: 2, least_lanes: 16, range_checks: false, ..Facts::LEAST };
    let form = |storage, geometry: Geometry| {
        let mut r = Recorder::new(storage, Forms::by_rule(facts), Limits::TEST);
        let taps = geometry.kernel * geometry.kernel;
        let x = r.input("x", 64, 64, Channels::one(320));
        let weight =
            Param { id: 0, name: "weight".into(), taps, inputs: Channels::one(320), outputs: Channels::one(320) };
        let bias = r.input_of("bias", 1, 1, Channels::one(320), Element::F32);
        record(&mut r, "out", &x, &Weights { weight, bias }, geometry, Epilogue::None);
        (r.form_of(KERNEL.name).unwrap(), r.weights_of(KERNEL.name).unwrap())
    };
    for (storage, linear, weights) in [
        (Policy::F32, "straight-16-320", Element::F32),
        (Policy::MIXED, "straight-16-320", Element::Packed),
        (Policy::PACKED, "rows-64", Element::Packed),
        (Policy::Q8, "rows-64", Element::Q8),
        (Policy::F16, "rows-64", Element::F16),
    ] {
        assert_eq!(form(storage, Geometry::LINEAR), (linear, weights), "{}", storage.name());
    }
    for storage in [Policy::MIXED, Policy::PACKED] {
        assert_eq!(form(storage, Geometry::SAME), ("winograd-straight-16-320", Element::Packed), "{}", storage.name());
    }
}
