//! No invocation's loops take more turns than its dispatch declares: Mesa's CPU drivers silently end them after 65,535. Here the shaders
//! count their own turns, with a counter added to each loop.

mod common;

use diffews_wgpu::check::{Case, Tested};
use diffews_wgpu::gpu::{Arena, Gpu, Placed};
use diffews_wgpu::plan::{Channels, Dispatch, Element, MAX_TURNS, Policy, Schedule, Tensor, TensorId, Window};
use diffews_wgpu::shader::{Form, Kernel};
use diffews_wgpu::twins;
use std::collections::HashMap;

const SEED: u64 = 1;
/// Larger cases, in operations, are left to the suite.
const QUICK: u64 = 300_000_000;

/// Adds a counter to `wgsl`: one per iteration of a loop, and one for its final test. The buffer at this binding receives the maximum over
/// all invocations, as its complement, because all bits of an output are set before.
fn counting(wgsl: &str, binding: usize) -> String {
    let mut text = String::new();
    for line in wgsl.lines() {
        match line.find("for (") {
            Some(at) if !line[..at].contains("//") => {
                let (before, head) = line.split_at(at);
                let (head, body) = head.split_once('{').expect("a loop's body begins on its line");
                text += &format!("{before}turns += 1u; {head}{{ turns += 1u; {body}\n");
            }
            _ => {
                let code = line.split("//").next().unwrap_or_default();
                assert!(!code.contains("loop {") && !code.contains("while "), "a loop that is not counted: {line}");
                text += &format!("{line}\n");
            }
        }
    }
    // Only the entry point returns nothing.
    let text = text.replace("return;", "atomicMin(&rest, ~turns); return;");
    let main = text.find("fn main(").expect("an entry point");
    let mut depth = 0;
    let end = text[main..].char_indices().find(|&(_, c)| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == '}' && depth == 0
    });
    let end = main + end.expect("main ends").0;
    format!(
        "@group(0) @binding({binding}) var<storage, read_write> rest: atomic<u32>;\nvar<private> turns: u32;\n\
         {}atomicMin(&rest, ~turns);\n{}",
        &text[..end],
        &text[end..]
    )
}

#[derive(Default)]
struct Counting(HashMap<(String, usize), &'static Kernel>);

impl Counting {
    fn kernel(&mut self, dispatch: &Dispatch, storage: Policy) -> &'static Kernel {
        let binding = dispatch.inputs.len() + dispatch.outputs.len();
        let (kernel, form) = (dispatch.kernel.name, dispatch.form.name);
        let name = format!("{kernel} {form} {:?} counting at {binding}", dispatch.defines);
        self.0.entry((name.clone(), binding)).or_insert_with(|| {
            let defines: Vec<_> = dispatch.defines.iter().copied().chain(storage.defines()).collect();
            let text = dispatch.form.text(&defines).expect("it preprocesses");
            // The text includes the constants by now.
            let forms = vec![Form { source: counting(&text, binding).leak(), consts: &[], ..*dispatch.form }].leak();
            Box::leak(Box::new(Kernel { name: name.leak(), forms, ..*dispatch.kernel }))
        })
    }
}

/// For each dispatch of the case: the turns that it declares, and those that it took.
fn turns(gpu: &Gpu, case: &Case, form: &'static Form, counting: &mut Counting) -> Option<Vec<(u64, u64)>> {
    if !case.fits(&gpu.limits()) {
        return None;
    }
    let forms = gpu.forms.forcing(case.kernel.name, form.name);
    // In f32, if the form accepts it.
    let storage = case.storages_in(form).next()?;
    let recorded = case.record(storage, forms, gpu.limits(), SEED).expect("it records");
    let constants = recorded.constants();
    let mut recording = recorded.recording;
    if recording.dispatches.iter().map(|d| d.flops + d.padding).sum::<u64>() > QUICK {
        return None;
    }
    let mut counters = Vec::new();
    for dispatch in &mut recording.dispatches {
        let kernel = counting.kernel(dispatch, storage);
        (dispatch.kernel, dispatch.form) = (kernel, &kernel.forms[0]);
        let id = TensorId::Value(recording.values.len() as u32);
        let counter =
            Tensor { id, name: "turns".into(), height: 1, width: 1, channels: Channels::one(4), element: Element::F32 };
        dispatch.outputs.push(Window { tensor: counter.clone(), offset: 0, size: 16 });
        recording.values.push(counter.clone());
        recording.outputs.push(counter.clone());
        counters.push(counter);
    }
    // In the order of recording. Nothing is pruned, because each dispatch writes an output.
    let said: Vec<u64> = recording.dispatches.iter().map(|d| d.turns).collect();
    let schedule = Schedule::new(recording);
    let arena = Arena::new(gpu, &Arena::sizes([&schedule])).expect("memory");
    // Their contents make no loop longer.
    let mut zeros = HashMap::new();
    for (tensor, bytes) in constants {
        let buffer = gpu.buffer(&tensor.name, bytes.len() as u64).expect("memory");
        zeros.insert(tensor.id, Placed { buffer, offset: 0 });
    }
    let plan = gpu.bind(&case.name, &schedule, &arena, &zeros, HashMap::new()).expect("binding works");
    gpu.run(&plan, &mut |_| true).expect("it runs");
    let took = counters.iter().map(|counter| {
        let bytes = gpu
            .download(gpu.port(&plan, counter).expect("a counter has memory").buffer(), 0, 4)
            .expect("reading works");
        u64::from(!u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    });
    Some(said.into_iter().zip(took).collect())
}

#[test]
fn loops_take_the_turns_that_their_dispatches_say() {
    let gpu = common::gpu();
    let mut counting = Counting::default();
    let mut longest: HashMap<&str, u64> = HashMap::new();
    for Tested { kernel, cases } in &twins::ALL {
        for case in cases().into_iter().filter(|case| !case.long) {
            let able = |form: &&Form| form.needs.lacks(&gpu.forms.facts).is_none() && case.takes(form);
            for form in kernel.forms.iter().filter(able) {
                let Some(dispatches) = turns(&gpu, &case, form, &mut counting) else { continue };
                for (said, took) in dispatches {
                    let what = format!("{} {} {}: said {said}, took {took}", kernel.name, case.name, form.name);
                    assert!(took <= said && said <= 3 * took.max(20), "{what}");
                    let longest = longest.entry(kernel.name).or_default();
                    *longest = took.max(*longest);
                }
            }
        }
    }
    println!("{longest:?}");
    // The cases include the longest loops that are recorded.
    for kernel in ["attention", "conv2d", "layer_norm"] {
        assert!(longest[kernel] > MAX_TURNS * 9 / 10, "{kernel}: {longest:?}");
    }
    assert!(longest["group_stats"] > MAX_TURNS / 2);
    assert!(longest.values().all(|&turns| turns <= MAX_TURNS));
}

/// A network whose loops would be longer is refused, rather than computed wrong.
#[test]
fn longer_loops_are_refused() {
    use diffews_wgpu::kernels::layer_norm;
    let gpu = common::gpu();
    let mut r = diffews_wgpu::plan::Recorder::new(Policy::F32, gpu.forms.clone(), gpu.limits());
    let x = r.input("x", 1, 1, Channels::one(81_000));
    let weight = r.input("weight", 1, 1, Channels::one(81_000));
    let out = layer_norm::record(&mut r, &x, &weight, &weight, 1e-5);
    r.output(&out);
    let error = r.finish().err().expect("an error is expected").to_string();
    assert!(error.contains("layer_norm of x.layer_norm") && error.contains("60753 turns"), "{error}");
}
