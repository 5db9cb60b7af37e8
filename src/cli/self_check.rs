//! Whether the adapter must pass a self-check, and where its result is kept.

use clap::Args;
use diffews_wgpu::segment::SelfCheck;
use std::path::PathBuf;

#[derive(Args)]
pub struct SelfCheckArgs {
    /// Skip the self-check, which compares the adapter with known answers before its first result, once for each driver and version of
    /// this program (same as DIFFEWS_SELF_CHECK=0)
    #[arg(long, help_heading = "Adapter")]
    no_self_check: bool,
}

impl SelfCheckArgs {
    pub fn wanted(&self) -> SelfCheck {
        if self.no_self_check || std::env::var_os("DIFFEWS_SELF_CHECK").is_some_and(|value| value == "0") {
            return SelfCheck::Off;
        }
        cache().map_or(SelfCheck::Each, SelfCheck::Remembered)
    }
}

/// `DIFFEWS_CACHE`, else this program's directory in the system's cache directory, if there is one.
pub fn cache() -> Option<PathBuf> {
    let named = std::env::var_os("DIFFEWS_CACHE").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    named.or_else(|| dirs::cache_dir().map(|dir| dir.join("diffews-wgpu")))
}
