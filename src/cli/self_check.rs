//! Whether the adapter must prove that it computes right, and where it is remembered that it did.

use clap::Args;
use diffews_wgpu::segment::SelfCheck;
use std::path::PathBuf;

#[derive(Args)]
pub struct SelfCheckArgs {
    /// Believe the adapter as it is. Else it computes what is known, once for each driver and version of this program, before its
    /// first result (DIFFEWS_SELF_CHECK=0 does the same)
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

/// `DIFFEWS_CACHE`, else this program's part of the place for caches, where the system has one.
pub fn cache() -> Option<PathBuf> {
    let named = std::env::var_os("DIFFEWS_CACHE").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    named.or_else(|| dirs::cache_dir().map(|dir| dir.join("diffews-wgpu")))
}
