//! Tests the conformance suite itself; `tests/suite.rs` runs it.

mod common;

use common::{choice, gpu};
use diffews_wgpu::check::bound::Approx;
use diffews_wgpu::check::{Case, CaseBuilder, Fill, run_case};
use diffews_wgpu::conformance::{Options, Report, Status, junit, run};
use diffews_wgpu::gpu::list;
use diffews_wgpu::plan::{Channels, Dispatch, Element, Policy, Tensor};
use diffews_wgpu::shader::{Form, Kernel};

const SEED: u64 = 20241;

#[test]
fn what_an_adapter_lacks_is_not_run_and_says_so() {
    let choice = choice();
    let mut adapters = list(&choice);
    adapters.truncate(1);
    let only = regex::Regex::new("^language/numbers/all 65,536 halves read").ok();
    let report = run(&adapters, &choice, &Options { only, seed: SEED, ..Default::default() }, &mut |_| true);
    let native = &report.results[2];
    assert_eq!((report.summary.cases, native.storage.as_str()), (3, "f16"));
    let lacks = native.reason.as_ref().is_some_and(|r| r.contains("shader-f16"));
    assert_eq!((native.status == Status::NotRun, lacks), (!adapters[0].shader_f16, !adapters[0].shader_f16));
}

/// Two identical GPUs in a machine: each row, and each JUnit test case, belongs to one of them.
#[test]
fn equal_adapters_get_unique_names() {
    let choice = choice();
    let one = list(&choice).swap_remove(0);
    let only = regex::Regex::new("^language/numbers/all 65,536 halves read").ok();
    let report = run(&[one.clone(), one], &choice, &Options { only, seed: SEED, ..Default::default() }, &mut |_| true);
    assert_eq!((report.adapters.len(), report.summary.cases), (2, 6));
    assert_eq!(report.adapters[1].name, format!("{} #2", report.adapters[0].name));
    assert_eq!(junit(&report).matches("<testcase ").count(), 6);
    assert_eq!(Report::joined(vec![report]).unwrap().summary.cases, 6);
}

/// Controls that must fail: the runner detects the faults that it claims to detect.
#[test]
fn planted_faults_are_seen() {
    let gpu = gpu();
    let ask = |case: Case| run_case(&gpu, &case, Policy::F32, &case.kernel.forms[0], SEED);
    let right = ask(control(1.0, 0, 0));
    assert!(right.passed(), "{right}");
    let wrong_value = ask(control(1.0 + 1e-5, 0, 0));
    assert!(!wrong_value.passed() && wrong_value.ratio > 1.0, "{wrong_value}");
    // A window that ends 64 vec4s too late, so that elements beyond the tensor are written or read.
    let written = ask(control(1.0, 0, 64));
    assert!(written.fault.as_ref().is_some_and(|f| f.contains("beyond its end")), "{written}");
    let read = ask(control(1.0, 64, 0));
    assert!(!read.passed() && read.ratio.is_nan(), "{read}");
}

/// Working memory has guard bands, too: one row too many, and a row of a workgroup further on.
#[test]
fn writes_beyond_what_is_handed_on_are_seen() {
    let gpu = gpu();
    let ask = |beyond: u64| {
        let case = Case::new(&KERNEL, "handed on".into(), move |b| {
            let n = 640;
            let x = b.input("x", 1, n, Channels::one(4), Element::F32, Fill::Normal { mean: 0.0, std: 1.0 });
            let [mid, out] =
                ["handed on", "out"].map(|name| b.recorder.value_of(name, 1, n, Channels::one(4), Element::F32));
            copy(b, (&x.tensor, 0), (&mid, beyond));
            copy(b, (&mid, 0), (&out, 0));
            b.expect(&out, move |p, c| Approx::new(x.at(p, c), 0.0));
        });
        run_case(&gpu, &case, Policy::F32, &KERNEL.forms[0], SEED)
    };
    let right = ask(0);
    assert!(right.passed(), "{right}");
    for beyond in [1, 200] {
        let wrong = ask(beyond);
        let fault = wrong.fault.clone().unwrap_or_default();
        assert!(fault.contains("handed on was written beyond its end"), "{beyond}: {wrong}");
    }
}

/// Scales 640 vec4s by a factor. The windows of input and output are longer than the tensors by a few vec4s, and elements beyond the input
/// move to the front.
fn control(factor: f64, input_beyond: u64, output_beyond: u64) -> Case {
    Case::new(&KERNEL, "control".into(), move |b| {
        let n = 640;
        let fill = Fill::Normal { mean: 0.0, std: 1.0 };
        let x = b.input("x", 1, n, Channels::one(4), Element::F32, fill);
        let out = b.recorder.value_of("out", 1, n, Channels::one(4), Element::F32);
        copy(b, (&x.tensor, input_beyond), (&out, output_beyond));
        b.expect(&out, move |p, c| Approx::new(x.at(p, c) * factor, 1e-6 * x.at(p, c).abs()));
    })
}

/// Records it with windows that are longer than the tensors by a few vec4s.
fn copy(b: &mut CaseBuilder, (from, input_beyond): (&Tensor, u64), (to, output_beyond): (&Tensor, u64)) {
    let n = to.positions();
    let (mut input, mut output) = (b.recorder.whole(from), b.recorder.whole(to));
    input.size += 16 * input_beyond;
    output.size += 16 * output_beyond;
    let params = [n + output_beyond as u32, input_beyond as u32, n + input_beyond as u32 - 1];
    b.recorder.push(Dispatch {
        kernel: &KERNEL,
        form: &KERNEL.forms[0],
        defines: vec![],
        inputs: vec![input],
        outputs: vec![output],
        params: params.iter().flat_map(|v| v.to_le_bytes()).collect(),
        workgroups: [n.div_ceil(64) + 4, 1, 1],
        flops: 1,
        padding: 0,
        saved: 0,
        turns: 0,
    });
}

static KERNEL: Kernel = Kernel {
    name: "control",
    params: &["n", "skip", "last"],
    variants: &[&[]],
    forms: &[Form::plain(
        "struct Params { n: u32, skip: u32, last: u32 }
        @group(0) @binding(0) var<storage, read> input: array<vec4<f32>>;
        @group(0) @binding(1) var<storage, read_write> output: array<vec4<f32>>;
        @group(1) @binding(0) var<uniform> p: Params;
        @compute @workgroup_size(64)
        fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            let place = min(id.x + p.skip, p.last);
            if id.x < p.n { output[id.x] = input[place]; }
        }",
    )],
};
