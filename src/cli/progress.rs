//! Progress bars by stage, and Ctrl-C.

use super::engine::Watch;
use diffews_wgpu::Stage;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// Shared by those who write a result; who ends the process takes it whole, so that not even a second Ctrl-C leaves a
/// part of a file.
static WRITING: RwLock<()> = RwLock::new(());
const EXIT_INTERRUPTED: i32 = 130;
const STEPS: u64 = 1000;

/// The first Ctrl-C stops at the next submission, a second one at once.
pub fn catch_interrupts() {
    let handler = || {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            let _nobody_writes = WRITING.write().unwrap_or_else(PoisonError::into_inner);
            std::process::exit(EXIT_INTERRUPTED);
        }
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        log::warn!("Ctrl-C ends this program without cleaning up: {error}");
    }
}

pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Held while a result is written.
pub fn writing() -> RwLockReadGuard<'static, ()> {
    WRITING.read().unwrap_or_else(PoisonError::into_inner)
}

/// A bar on a terminal; nothing elsewhere.
pub struct Bar {
    bar: ProgressBar,
    prefix: String,
    stage: Option<Stage>,
}

impl Bar {
    pub fn new(quiet: bool) -> Bar {
        let shown = !quiet && std::io::stderr().is_terminal();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(STEPS), target);
        if let Ok(style) = ProgressStyle::with_template("{msg:<34} [{bar:32}] {percent:>3} % {elapsed}") {
            bar.set_style(style.progress_chars("=> "));
        }
        Bar { bar, prefix: String::new(), stage: None }
    }

    /// What comes before the stage's name: which query it is.
    pub fn prefix(&mut self, prefix: String) {
        self.prefix = prefix;
        self.stage = None;
    }
}

impl Watch for Bar {
    fn step(&mut self, stage: Stage, done: f64) -> bool {
        if self.stage.replace(stage) != Some(stage) {
            self.bar.reset();
            self.bar.set_message(format!("{}{stage}", self.prefix));
        }
        self.bar.set_position((done.clamp(0.0, 1.0) * STEPS as f64) as u64);
        !interrupted()
    }

    fn clear(&mut self) {
        self.stage = None;
        self.bar.finish_and_clear();
    }
}
