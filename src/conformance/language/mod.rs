//! Layer 1: the WGSL and driver features that the kernels rely on, each tested by a small shader.

mod memory;
mod numbers;
mod workgroup;

use crate::check::Tested;
use crate::kernels::LANES;
use crate::plan::{Dispatch, Recorder, Tensor, Window};
use crate::shader::Kernel;

/// The kernels of this layer, listed apart from the engine's.
pub static LANGUAGE: [Tested; 5] = [
    Tested { kernel: &numbers::KERNEL, cases: numbers::cases },
    Tested { kernel: &workgroup::BARRIERS, cases: workgroup::barriers },
    Tested { kernel: &workgroup::MEMORY, cases: workgroup::memory },
    Tested { kernel: &workgroup::SUBGROUPS, cases: workgroup::subgroups },
    Tested { kernel: &memory::KERNEL, cases: memory::cases },
];

/// Upper bound on the loops of this layer's kernels.
const MOST_TURNS: u64 = 256;

/// Records `kernel` over `n` invocations (or workgroups of its own size). Its parameters are n, the folding of the workgroups, and `extra`.
fn record(
    r: &mut Recorder,
    kernel: &'static Kernel,
    defines: &[&'static str],
    (input, output): (Window, Window),
    (n, groups): (u32, u64),
    extra: u32,
) {
    let workgroups = r.fold_workgroups(groups);
    r.push(Dispatch {
        kernel,
        form: &kernel.forms[0],
        defines: defines.to_vec(),
        inputs: vec![input],
        outputs: vec![output],
        params: bytemuck::bytes_of(&[n, workgroups[0], extra, 0]).to_vec(),
        workgroups,
        flops: n as u64 * 16,
        padding: 0,
        saved: 0,
        turns: MOST_TURNS,
    });
}

/// Like [`record`], with one invocation per vec4, over whole tensors.
fn record_elements(
    r: &mut Recorder,
    kernel: &'static Kernel,
    defines: &[&'static str],
    input: &Tensor,
    output: &Tensor,
    n: u32,
    extra: u32,
) {
    let windows = (r.whole(input), r.whole(output));
    record(r, kernel, defines, windows, (n, u64::from(n).div_ceil(LANES)), extra);
}
