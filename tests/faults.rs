//! Deliberate faults in the engine: each must push the map far beyond the bound of the parity test, or that test could not detect it. The
//! unbroken control must stay within the bound.

mod common;

use common::{Fixture, gpu, relative_l2, rewritten, run};
use diffews_wgpu::kernels::group_norm;
use diffews_wgpu::model::Model;
use diffews_wgpu::plan::{Dispatch, Recording};
use diffews_wgpu::segment::Pass;
use diffews_wgpu::shader::{Form, Kernel};
use diffews_wgpu::weights::{ModelFiles, Weights};
use diffews_wgpu::{Error, Precision, Segmenter};
use std::path::Path;

const BOUND: f64 = 1e-5;

/// Relative L2 error of the fixture's map when `edit` changes each recording.
fn error_with(name: &str, edit: &mut dyn FnMut(Pass, &mut Recording)) -> f64 {
    let fixture = Fixture::named(name);
    match run(&fixture, gpu(), fixture.model(), Precision::F32, edit) {
        Ok(run) => relative_l2(&run.result.map().map(), &fixture.expected["map"]),
        // Uninitialised sums may have any value, including NaN, which the engine itself reports.
        Err(Error::NotFinite { .. }) => f64::INFINITY,
        Err(error) => panic!("{error}"),
    }
}

/// Replaces the parameter of that name in every dispatch of `kernel`.
fn set_param(recording: &mut Recording, kernel: &str, name: &str, change: impl Fn(u32) -> u32) -> usize {
    let mut changed = 0;
    for dispatch in recording.dispatches.iter_mut().filter(|d| d.kernel.name == kernel) {
        let old = param(dispatch, name);
        let place = dispatch.kernel.param(name).unwrap();
        dispatch.params[place].copy_from_slice(&change(old).to_le_bytes());
        changed += usize::from(change(old) != old);
    }
    changed
}

fn param(dispatch: &Dispatch, name: &str) -> u32 {
    let place = dispatch.kernel.param(name).unwrap_or_else(|| panic!("{} has no {name}", dispatch.kernel.name));
    u32::from_le_bytes(dispatch.params[place].try_into().unwrap())
}

#[test]
fn control_is_within_the_bound() {
    for name in ["sd21", "sd21_shots3", "odd"] {
        let error = error_with(name, &mut |_, _| {});
        assert!(error <= BOUND, "{name}: {error:.2e}");
    }
}

#[test]
fn a_wrong_eps_is_seen() {
    for kernel in ["group_norm", "layer_norm"] {
        let mut changed = 0;
        let error = error_with("sd21", &mut |_, r| {
            changed += set_param(r, kernel, "eps", |eps| (f32::from_bits(eps) * 100.0).to_bits());
        });
        assert!(changed > 0 && error > 3.0 * BOUND, "{kernel}: {changed} changed, {error:.2e}");
    }
}

#[test]
fn swapped_keys_and_values_of_the_bank_are_seen() {
    let error = error_with("sd21", &mut |_, r| {
        for dispatch in r.dispatches.iter_mut().filter(|d| d.kernel.name == "attention") {
            dispatch.inputs.swap(3, 4);
        }
    });
    assert!(error > 3.0 * BOUND, "{error:.2e}");
}

#[test]
fn a_missing_support_is_seen() {
    let error = error_with("sd21_shots3", &mut |_, r| {
        set_param(r, "attention", "bank", |bank| bank / 3 * 2);
    });
    assert!(error > 3.0 * BOUND, "{error:.2e}");
}

#[test]
fn an_ignored_bank_is_seen() {
    let error = error_with("sd21", &mut |_, r| {
        set_param(r, "attention", "bank", |_| 0);
    });
    assert!(error > 3.0 * BOUND, "{error:.2e}");
}

#[test]
fn off_by_one_padding_of_the_stride_2_convolutions_is_seen() {
    for pass in [Pass::Encoder, Pass::Query] {
        let error = error_with("sd21", &mut |recorded, r| {
            let two = |d: &&mut Dispatch| recorded == pass && d.kernel.name == "conv2d" && param(d, "stride") == 2;
            for dispatch in r.dispatches.iter_mut().filter(two) {
                let pad = param(dispatch, "pad") ^ 1;
                let place = dispatch.kernel.param("pad").unwrap();
                dispatch.params[place].copy_from_slice(&pad.to_le_bytes());
            }
        });
        assert!(error > 3.0 * BOUND, "{pass}: {error:.2e}");
    }
}

/// Without its barrier, the workgroup's tree reduction reads sums that other lanes have not written yet. On a GPU whose subgroups are as
/// wide as the workgroup, lanes run in step anyway.
#[test]
fn a_barrier_left_out_is_seen() {
    if gpu().facts().device_type != "Cpu" {
        println!("not run: only a CPU's lanes are sure to run apart");
        return;
    }
    let whole = group_norm::KERNEL.forms[0].source;
    let source = whole.replacen("workgroupBarrier();\n        if lane", "if lane", 1);
    assert_ne!(source, whole);
    let kernel: &'static Kernel = Box::leak(Box::new(Kernel {
        name: "group_norm without a barrier",
        forms: vec![Form::plain(source.leak())].leak(),
        ..group_norm::KERNEL
    }));
    let error = error_with("sd21", &mut |_, r| {
        for dispatch in r.dispatches.iter_mut().filter(|d| d.kernel.name == "group_norm") {
            (dispatch.kernel, dispatch.form) = (kernel, &kernel.forms[0]);
        }
    });
    assert!(error > 3.0 * BOUND, "{error:.2e}");
}

/// The fixture's model, with one tensor of its UNet or VAE changed.
fn with_tensor(name: &str, component: &str, tensor: &str, change: impl Fn(&mut [f32], &[usize])) -> Result<f64, Error> {
    let fixture = Fixture::named(name);
    let (dir, _) = fixture.weights();
    let mut files = ModelFiles::open(&dir, None)?;
    let weights = rewrite(&dir.join(component), tensor, change);
    match component {
        "unet" => files.unet = weights,
        _ => files.vae = weights,
    }
    let result = run(&fixture, gpu(), Model::load(files)?, Precision::F32, &mut |_, _| {})?.result;
    Ok(relative_l2(&result.map().map(), &fixture.expected["map"]))
}

fn rewrite(dir: &Path, name: &str, change: impl Fn(&mut [f32], &[usize])) -> Weights {
    Weights::from_bytes("rewritten", rewritten(dir, name, change)).unwrap()
}

#[test]
fn rewriting_a_tensor_changes_nothing_by_itself() {
    let error = with_tensor("odd", "unet", "conv_in.weight", |_, _| {}).unwrap();
    assert!(error <= BOUND, "{error:.2e}");
}

#[test]
fn a_transposed_weight_is_seen() {
    let name = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight";
    let error = with_tensor("odd", "unet", name, |values, shape| {
        let (rows, old) = (shape[0], values.to_vec());
        assert_eq!(rows, shape[1]);
        (0..values.len()).for_each(|i| values[i] = old[i % rows * rows + i / rows]);
    })
    .unwrap();
    assert!(error > 3.0 * BOUND, "{error:.2e}");
}

#[test]
fn an_overflow_is_an_error_that_names_the_stage() {
    let places = [
        ("unet", "conv_in.bias", "query pass"),
        ("unet", "conv_in_ref.bias", "support pass"),
        ("vae", "decoder.conv_in.bias", "decode"),
        ("vae", "encoder.conv_in.bias", "encode support"),
    ];
    for (component, tensor, stage) in places {
        let error = with_tensor("odd", component, tensor, |values, _| values[0] = 3e38).unwrap_err();
        assert!(error.to_string().contains(stage), "{tensor}: {error}");
    }
}

/// Beyond the f16 range only.
#[test]
fn an_overflow_of_halves_is_an_error_in_half_precision_alone() {
    for (value, fails) in [(2e5, true), (2.0, false)] {
        for (precision, halves) in [(Precision::F16, true), (Precision::F32, false)] {
            let fixture = Fixture::named("odd");
            let (dir, _) = fixture.weights();
            let mut files = ModelFiles::open(&dir, None).unwrap();
            files.vae = rewrite(&dir.join("vae"), "decoder.conv_in.bias", |values, _| values[0] = value);
            let result = run(&fixture, gpu(), Model::load(files).unwrap(), precision, &mut |_, _| {});
            let overflowed = matches!(result, Err(Error::NotFinite { .. }));
            assert_eq!(overflowed, fails && halves, "{value} in {precision:?}");
        }
    }
}

/// The guided filter clips the decoder's output, so its result may be finite where the output is not.
#[test]
fn an_overflow_of_the_decoder_is_seen_through_the_guided_filter() {
    let fixture = Fixture::named("odd");
    let (dir, _) = fixture.weights();
    let mut files = ModelFiles::open(&dir, None).unwrap();
    files.vae = rewrite(&dir.join("vae"), "decoder.conv_out.weight", |values, _| values.fill(3e38));
    let builder = Segmenter::builder().gpu(gpu()).files(files).guided_filter("2".parse().unwrap());
    let segmenter = builder.build().unwrap();
    let bank = segmenter.encode(&fixture.supports()).unwrap();
    let error = segmenter.segment(&bank, &fixture.query()).err().unwrap();
    assert!(error.to_string().contains("decode"), "{error}");
}
