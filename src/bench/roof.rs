//! Measures an adapter's peaks: multiplications and additions in f32, and copies. It uses kernels of its own, and checks their results, so
//! that no work can be optimized away.

use super::BenchError;
use crate::gpu::{Arena, BoundPlan, Gpu, GpuError};
use crate::plan::{Channels, Dispatch, Element, Policy, Recorder, Schedule, Tensor};
use crate::shader::{Device, Form, Kernel, params};
use std::collections::HashMap;
use std::time::Instant;

/// The fastest of several ways.
#[derive(Clone, Debug)]
pub struct Peak {
    /// Multiplications and additions, or bytes read and written, per second.
    pub rate: f64,
    /// Seconds of one run.
    pub seconds: f64,
    /// The name of that way.
    pub by: String,
}

/// An adapter's peaks.
#[derive(Clone, Debug)]
pub struct Roof {
    /// Multiplications and additions in f32, counted separately.
    pub arithmetic: Peak,
    /// Bytes read plus bytes written, on buffers too large for caches.
    pub memory: Peak,
}

/// The peak that limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binds {
    Arithmetic,
    Memory,
}

impl Binds {
    pub fn name(self) -> &'static str {
        match self {
            Binds::Arithmetic => "arithmetic",
            Binds::Memory => "memory",
        }
    }
}

impl Roof {
    /// The percentage of the attainable rate that `flops` and `bytes` in `seconds` reach, and the peak that limits it. Above 100 if caches
    /// hold the data, or matrix units multiply.
    pub fn percent(&self, flops: u64, bytes: u64, seconds: f64) -> (f64, Binds) {
        let (arithmetic, memory) = (flops as f64 / self.arithmetic.rate, bytes as f64 / self.memory.rate);
        let (least, binds) =
            if arithmetic >= memory { (arithmetic, Binds::Arithmetic) } else { (memory, Binds::Memory) };
        (100.0 * least / seconds, binds)
    }

    /// Measures both peaks, in a second or two.
    ///
    /// # Errors
    /// A result is wrong, or the device reports an error.
    pub fn measure(gpu: &Gpu) -> Result<Roof, BenchError> {
        Ok(Roof { arithmetic: arithmetic(gpu)?, memory: memory(gpu)? })
    }
}

const fn form(name: &'static str, source: &'static str, consts: &'static [(&'static str, u32)]) -> Form {
    Form { name, consts, ..Form::plain(source) }
}

/// Steps per invocation of the form with a loop: sums of integers below 2^24, exact in f32.
const STEPS: u32 = 8192;
/// Newer lavapipe executes loops under masks.
const STRAIGHT: &str = "STRAIGHT";
const MULTIPLY_WGSL: &str = include_str!("../../shaders/roof/multiply.wgsl");
/// Chains of four lanes: 8 to 16 chains of one lane fill a core's units, and registers hold 16 to 32. An iteration has enough steps to make
/// a driver's overhead per loop negligible.
static MULTIPLY: Kernel = Kernel {
    name: "roof_multiply",
    params: Params::FIELDS,
    variants: &[&[], &["FUSED"]],
    forms: &[
        form("2 vectors", MULTIPLY_WGSL, &[("CHAINS", 2), ("STEPS", 256)]),
        form("3 vectors", MULTIPLY_WGSL, &[("CHAINS", 3), ("STEPS", 256)]),
        form("4 vectors", MULTIPLY_WGSL, &[("CHAINS", 4), ("STEPS", 64)]),
        form("6 vectors", MULTIPLY_WGSL, &[("CHAINS", 6), ("STEPS", 64)]),
        Form {
            variants: Some(&[&[STRAIGHT], &[STRAIGHT, "FUSED"]]),
            ..form("3 vectors, no loop", MULTIPLY_WGSL, &[("CHAINS", 3), ("STEPS", 256)])
        },
    ],
};

params! {
    turns: u32,
    by: f32,
    add: f32,
}

/// Invocations per workgroup, of both kernels.
const LANES: u32 = 64;
/// A run of this many seconds is long enough to make the cost of submission negligible.
const LONG: f64 = 0.01;
/// Workgroup limit of a run.
const MOST: u32 = 65_535;
/// Seconds for the counted runs of a candidate.
const ENOUGH: f64 = 0.1;

fn arithmetic(gpu: &Gpu) -> Result<Peak, BenchError> {
    let mut best: Option<Peak> = None;
    for (form, defines) in MULTIPLY.texts() {
        let by = format!("{}, {}", if defines.contains(&"FUSED") { "fma" } else { "* and +" }, form.name);
        let straight = defines.contains(&STRAIGHT);
        let steps = if straight { form.constant("STEPS") } else { STEPS };
        let each = 2 * 4 * u64::from(steps * form.constant("CHAINS") * LANES);
        let enough =
            best.as_ref().map_or(4.0 * f64::from(gpu.forms.facts.cores), |b| 1.5 * LONG * b.rate / each as f64);
        let mut workgroups = (enough as u32).clamp(1, MOST);
        loop {
            let flops = each * u64::from(workgroups);
            let (schedule, sums) = multiplications(gpu, form, defines, workgroups, flops)?;
            let plan = bound(gpu, &schedule)?;
            // The first run makes the pipeline and allocates memory.
            timed(|| gpu.run(&plan, &mut |_| true))?;
            let seconds = timed(|| gpu.run(&plan, &mut |_| true))?;
            if seconds < LONG && workgroups < MOST {
                let more = (1.5 * LONG / seconds).clamp(2.0, 16.0);
                workgroups = ((f64::from(workgroups) * more) as u32).min(MOST);
                continue;
            }
            let seconds = fastest(seconds, || gpu.run(&plan, &mut |_| true))?;
            let chains = form.constant("CHAINS");
            let wanted = |lane: u32, component: u32| {
                let one = |chain: u32| component + lane + 4 * chain + steps;
                (0..chains).map(one).sum::<u32>() as f32
            };
            let [found] = gpu.read([&gpu.port(&plan, &sums)?])?;
            let right = |(i, &value): (usize, &f32)| value == wanted(i as u32 / 4 % LANES, i as u32 % 4);
            if !found.iter().enumerate().all(right) {
                return Err(wrong(gpu, &by));
            }
            keep(&mut best, Peak { rate: flops as f64 / seconds, seconds, by });
            break;
        }
    }
    best.ok_or_else(|| wrong(gpu, "no form"))
}

/// A plan of `flops` multiplications and additions, and its output.
fn multiplications(
    gpu: &Gpu,
    form: &'static Form,
    defines: &[&'static str],
    workgroups: u32,
    flops: u64,
) -> Result<(Schedule, Tensor), BenchError> {
    let mut r = Recorder::new(Policy::F32, gpu.forms.clone(), gpu.limits());
    let sums = r.value_of("sums", 1, LANES * workgroups, Channels::one(4), Element::F32);
    // Zero without a loop.
    let turns = STEPS / form.constant("STEPS");
    r.push(Dispatch {
        kernel: &MULTIPLY,
        form,
        defines: defines.to_vec(),
        inputs: vec![],
        outputs: vec![r.whole(&sums)],
        params: bytemuck::bytes_of(&Params { turns, by: 1.0, add: 1.0 }).to_vec(),
        workgroups: [workgroups, 1, 1],
        flops,
        padding: 0,
        saved: 0,
        turns: u64::from(turns) + 1,
    });
    r.output(&sums);
    Ok((Schedule::new(r.finish()?), sums))
}

mod copy {
    use super::{Kernel, form, params};

    const WGSL: &str = include_str!("../../shaders/roof/copy.wgsl");
    pub static KERNEL: Kernel = Kernel {
        name: "roof_copy",
        params: Params::FIELDS,
        variants: &[&[]],
        forms: &[
            form("1 vector an invocation", WGSL, &[("EACH", 1)]),
            form("4 vectors an invocation", WGSL, &[("EACH", 4)]),
        ],
    };

    params! {
        n: u32,
        groups_x: u32,
    }

    pub fn params(n: u32, groups_x: u32) -> Vec<u8> {
        bytemuck::bytes_of(&Params { n, groups_x }).to_vec()
    }
}

/// Bytes of a buffer to copy: with its copy, more than caches hold.
const COPIED: u64 = 256 << 20;
/// The same for CPUs, because some of their drivers copy slowly.
const COPIED_ON_CPU: u64 = 64 << 20;
/// Bytes of a block; each begins with its number.
const BLOCK: usize = 1 << 20;

fn memory(gpu: &Gpu) -> Result<Peak, BenchError> {
    let limits = gpu.limits();
    let most = if gpu.forms.facts.device == Device::Cpu { COPIED_ON_CPU } else { COPIED };
    let room = gpu.facts().memory_bytes.map_or(most, |bytes| bytes / 8);
    let bytes = most.min(limits.max_binding).min(limits.max_buffer).min(room).max(BLOCK as u64);
    let blocks = bytes / BLOCK as u64;
    let vec4s = (blocks * BLOCK as u64 / 16) as u32;
    let mut best = None;
    for (i, form) in copy::KERNEL.forms.iter().enumerate() {
        let mut r = Recorder::new(Policy::F32, gpu.forms.clone(), limits.clone());
        let x = r.input_of("copied", 1, vec4s, Channels::one(4), Element::F32);
        let out = r.value_of("copy", 1, vec4s, Channels::one(4), Element::F32);
        let workgroups = r.fold_workgroups(u64::from(vec4s.div_ceil(LANES * form.constant("EACH"))));
        r.push(Dispatch {
            kernel: &copy::KERNEL,
            form,
            defines: vec![],
            inputs: vec![r.whole(&x)],
            outputs: vec![r.whole(&out)],
            params: copy::params(vec4s, workgroups[0]),
            workgroups,
            flops: u64::from(vec4s),
            padding: 0,
            saved: 0,
            turns: 0,
        });
        r.output(&out);
        let schedule = Schedule::new(r.finish()?);
        let plan = bound(gpu, &schedule)?;
        let (from, to) = (gpu.port(&plan, &x)?, gpu.port(&plan, &out)?);
        let mut block: Vec<u32> = (0..BLOCK as u32 / 4).map(|word| word.wrapping_mul(0x9e37_79b1)).collect();
        for number in 0..blocks {
            block[0] = number as u32;
            gpu.upload(from.buffer(), number * BLOCK as u64, bytemuck::cast_slice(&block))?;
        }
        let mut measure = |by: &str, run: &mut dyn FnMut() -> Result<(), GpuError>| -> Result<(), BenchError> {
            let mut seconds = timed(&mut *run)?;
            // The first run makes the pipeline and allocates memory; a candidate far behind cannot win.
            if best.as_ref().is_none_or(|best: &Peak| seconds < 4.0 * best.seconds) {
                seconds = fastest(timed(&mut *run)?, run)?;
            }
            for number in [0, blocks / 2, blocks - 1] {
                block[0] = number as u32;
                let found = gpu.download(to.buffer(), number * BLOCK as u64, BLOCK as u64)?;
                if found != bytemuck::cast_slice::<u32, u8>(&block) {
                    return Err(wrong(gpu, by));
                }
            }
            keep(&mut best, Peak { rate: 2.0 * (blocks * BLOCK as u64) as f64 / seconds, seconds, by: by.into() });
            Ok(())
        };
        if i == 0 {
            // The driver's own copy, including a wait.
            measure("copy of buffers", &mut || {
                gpu.hand_over(&from, &to, 0)?;
                gpu.finish("copy of buffers")
            })?;
        }
        measure(form.name, &mut || gpu.run(&plan, &mut |_| true))?;
    }
    best.ok_or_else(|| wrong(gpu, "no form"))
}

fn bound(gpu: &Gpu, schedule: &Schedule) -> Result<BoundPlan, GpuError> {
    let arena = Arena::new(gpu, &Arena::sizes([schedule]))?;
    gpu.bind("roof", schedule, &arena, &HashMap::new(), HashMap::new())
}

fn timed(mut run: impl FnMut() -> Result<(), GpuError>) -> Result<f64, GpuError> {
    let started = Instant::now();
    run()?;
    Ok(started.elapsed().as_secs_f64())
}

/// The least of `seconds` and the times of further runs, while there is time.
fn fastest(mut seconds: f64, mut run: impl FnMut() -> Result<(), GpuError>) -> Result<f64, GpuError> {
    let mut spent = seconds;
    while spent < ENOUGH {
        let now = timed(&mut run)?;
        spent += now;
        seconds = seconds.min(now);
    }
    Ok(seconds)
}

fn keep(best: &mut Option<Peak>, peak: Peak) {
    log::debug!("roof: {:.2e} a second ({}), {:.1} ms", peak.rate, peak.by, 1e3 * peak.seconds);
    if best.as_ref().is_none_or(|best| best.rate < peak.rate) {
        *best = Some(peak);
    }
}

fn wrong(gpu: &Gpu, by: &str) -> BenchError {
    let reason = format!("{by}: its results are wrong");
    GpuError::Failed { adapter: gpu.facts().name.clone(), what: "measuring the roof".into(), reason }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roof_is_what_takes_longer() {
        let peak = |rate| Peak { rate, seconds: 1.0, by: String::new() };
        let roof = Roof { arithmetic: peak(100.0), memory: peak(10.0) };
        assert_eq!(roof.percent(50, 1, 1.0), (50.0, Binds::Arithmetic));
        assert_eq!(roof.percent(50, 8, 1.0), (80.0, Binds::Memory));
        assert_eq!(roof.percent(100, 0, 2.0), (50.0, Binds::Arithmetic));
    }

    /// On any machine, both peaks are finite. The measurement has checked the kernels' results.
    #[test]
    fn an_adapter_has_a_roof() {
        let gpu = Gpu::new(&Default::default()).expect("a device");
        let roof = Roof::measure(&gpu).expect("a roof");
        for peak in [&roof.arithmetic, &roof.memory] {
            assert!(peak.rate.is_finite() && peak.rate > 1e6 && peak.seconds > 0.0, "{roof:?}");
        }
    }
}
