//! Races between lanes, which a driver that runs lanes in step cannot show. Interprets small conformance cases on the host, one lane after
//! another between barriers. If two lanes access a word in one phase and one of them writes, that is a fault. `docs/conformance.md` says
//! what this proves.

mod arithmetic;
mod cases;
mod expressions;
mod lane;
mod machine;
mod matrices;
mod memory;
mod planted;
mod shader;
mod subgroup;
mod value;

use cases::{Ran, STORAGES, run, smallest, tested};
use diffews_wgpu::shader::Kernel;
use machine::Order;

fn as_it_is(_: &'static Kernel, text: String) -> String {
    text
}

#[test]
fn no_kernel_has_a_race() {
    // A part of kernel and form, to run a selection.
    let only = std::env::var("RACES_ONLY").unwrap_or_default();
    let mut ran = 0;
    for (tested, form) in tested().filter(|(t, form)| format!("{} {}", t.kernel.name, form.name).contains(&only)) {
        for (i, case) in smallest(tested, form).iter().enumerate() {
            // f16 and 8 bits once: apart from the width, and the place of scales, the accesses are the same.
            let storages = case.storages_in(form).filter(|storage| STORAGES.contains(storage));
            for storage in storages.take(if i == 0 { 3 } else { 1 }) {
                let what = format!("{} {} {}: {}", tested.kernel.name, form.name, storage.name(), case.name);
                let started = std::time::Instant::now();
                let [forward, backward] =
                    [Order::Forward, Order::Backward].map(|order| run(case, storage, form, order, &as_it_is));
                for Ran { faults, .. } in [&forward, &backward] {
                    assert!(faults.is_empty(), "{what}: {}", faults[0]);
                }
                assert!(forward.outputs == backward.outputs, "{what}: the order of lanes changes the result");
                let ratio = forward.ratio();
                println!("{what}: error / bound {ratio:.3} ({:.2} s)", started.elapsed().as_secs_f64());
                assert!(ratio <= 1.0, "{what}: error / bound {ratio}");
                ran += 1;
            }
        }
    }
    assert!(ran > 50 || !only.is_empty() && ran > 0, "{ran}");
}
