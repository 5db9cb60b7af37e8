//! 512-bit vectors for Mesa's CPU driver, which uses 256 bits unless told otherwise before it loads.

use diffews_wgpu::gpu::AdapterFacts;
use diffews_wgpu::plan::Policy;
use diffews_wgpu::segment::Planned;

/// The driver's own variable.
const WIDTH: &str = "LP_NATIVE_VECTOR_WIDTH";

/// Restarts this command with wider vectors if they make `planned` faster and no width was chosen. Returns if it does not
/// restart.
pub fn widen(planned: &Planned) {
    // Kernels without straight text, such as those of narrow layers, are slower with them.
    let pays = planned.model().config().is_wide() && pays(planned.gpu().facts(), planned.memory().storage);
    if pays && has_wide_vectors() && std::env::var_os(WIDTH).is_none() {
        log::info!("restarting with {WIDTH}=512, which is faster on this CPU");
        // Not inside the macro, which skips its arguments if the level is off.
        let error = again();
        log::warn!("restarting failed: {error}");
    }
}

/// They pay on a device without range checks, which runs straight texts, and with all values in f32: straight texts take neither halves
/// nor weights of 8 bits.
fn pays(facts: &AdapterFacts, storage: Policy) -> bool {
    let narrow = facts.subgroup_sizes.is_some_and(|(least, _)| least == 8);
    let taken = [Policy::F32, Policy::MIXED].contains(&storage);
    !facts.range_checks && narrow && taken
}

#[cfg(target_arch = "x86_64")]
fn has_wide_vectors() -> bool {
    std::arch::is_x86_feature_detected!("avx512f")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_wide_vectors() -> bool {
    false
}

#[cfg(target_os = "linux")]
const ITSELF: &str = "/proc/self/exe";

/// Replaces this process; returns the reason if that fails.
#[cfg(target_os = "linux")]
fn again() -> String {
    use std::ffi::OsStr;
    use std::os::unix::{ffi::OsStrExt, process::CommandExt};
    // The arguments of the process: if a loader was called with the program, it is called again.
    let arguments = match std::fs::read("/proc/self/cmdline") {
        Ok(arguments) => arguments,
        Err(error) => return format!("/proc/self/cmdline: {error}"),
    };
    let arguments = arguments.strip_suffix(b"\0").unwrap_or(&arguments);
    let mut arguments = arguments.split(|&byte| byte == 0).map(OsStr::from_bytes);
    let mut command = std::process::Command::new(ITSELF);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments).env(WIDTH, "512").exec().to_string()
}

#[cfg(not(target_os = "linux"))]
fn again() -> String {
    "this system has no way to do that".into()
}
