//! Vectors of 512 bits for Mesa's CPU driver, which takes 256 where it is told nothing before it loads.

use diffews_wgpu::gpu::AdapterFacts;
use diffews_wgpu::plan::Policy;
use diffews_wgpu::segment::Planned;

/// The driver's own variable.
const WIDTH: &str = "LP_NATIVE_VECTOR_WIDTH";

/// Starts this command again with wider vectors, where they make `planned` faster and nobody has chosen a width. Returns where it
/// goes on as it is.
pub fn widen(planned: &Planned) {
    // What has no straight text, as narrow layers have none, is slower with them.
    let pays = planned.model().config().is_wide() && pays(planned.gpu().facts(), planned.memory().storage);
    if pays && has_wide_vectors() && std::env::var_os(WIDTH).is_none() {
        log::info!("starting again with {WIDTH}=512, which is faster on this CPU");
        // Not within the macro, which computes nothing where its message is not heard.
        let error = again();
        log::warn!("it cannot be started again: {error}");
    }
}

/// On a device without range checks, which runs straight texts, and where all values are in f32: they take no halves, nor weights of
/// 8 bits.
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

/// Comes back with the reason if it cannot be.
#[cfg(target_os = "linux")]
fn again() -> String {
    use std::ffi::OsStr;
    use std::os::unix::{ffi::OsStrExt, process::CommandExt};
    // Of the process and not of the program: a loader that was called by name is called by it again.
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
