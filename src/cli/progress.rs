//! Progress bars by stage.

use super::engine::Watch;
pub use super::interrupt::{catch_interrupts, interrupted, writing};
use diffews_wgpu::Stage;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::ops::ControlFlow;

const STEPS: u64 = 1000;

/// Breaks after a signal.
pub fn go_on() -> ControlFlow<()> {
    if interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// Draws on a terminal only.
fn target(quiet: bool) -> ProgressDrawTarget {
    let shown = !quiet && std::io::stderr().is_terminal();
    if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() }
}

/// A bar for a download.
pub fn bytes(quiet: bool) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), target(quiet));
    if let Ok(style) =
        ProgressStyle::with_template("{msg:<44} [{bar:24}] {binary_bytes} of {binary_total_bytes}, {eta} left")
    {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

/// A progress bar, drawn on a terminal only.
pub struct Bar {
    bar: ProgressBar,
    prefix: String,
    stage: Option<Stage>,
}

impl Bar {
    pub fn new(quiet: bool) -> Bar {
        let bar = ProgressBar::with_draw_target(Some(STEPS), target(quiet));
        if let Ok(style) = ProgressStyle::with_template("{msg:<34} [{bar:32}] {percent:>3} % {elapsed}") {
            bar.set_style(style.progress_chars("=> "));
        }
        Bar { bar, prefix: String::new(), stage: None }
    }

    /// Sets the text before the stage's name: the query.
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
