//! Progress bars by stage.

use super::engine::Watch;
pub use super::interrupt::{catch_interrupts, interrupted, writing};
use diffews_wgpu::Stage;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::ops::ControlFlow;

const STEPS: u64 = 1000;

/// Breaks off what a signal has asked to end.
pub fn go_on() -> ControlFlow<()> {
    if interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
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
    fn step(&mut self, stage: Stage, done: f64) -> ControlFlow<()> {
        if self.stage.replace(stage) != Some(stage) {
            self.bar.reset();
            self.bar.set_message(format!("{}{stage}", self.prefix));
        }
        self.bar.set_position((done.clamp(0.0, 1.0) * STEPS as f64) as u64);
        go_on()
    }

    fn clear(&mut self) {
        self.stage = None;
        self.bar.finish_and_clear();
    }
}
