//! Signals: the first one stops at the next submission, and the process is gone within seconds whatever hangs.

use super::tell;
#[cfg(unix)]
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, TryLockError};
use std::time::{Duration, Instant};

/// The signal that came, 0 before.
static SIGNAL: AtomicU8 = AtomicU8::new(0);
/// Shared by those who write a result; who ends the process takes it whole, so that no part of a file is left.
static WRITING: RwLock<()> = RwLock::new(());
/// How far the run is, for who ends the process.
static STANDING: Mutex<String> = Mutex::new(String::new());
const SIGINT: u8 = 2;
/// The run may end by itself so long after the first signal.
const GRACE: Duration = Duration::from_secs(5);
/// A write may take so long then: a disk may be what hangs.
const LAST_WRITE: Duration = Duration::from_secs(2);
/// The same of a server, which finishes what runs.
const SERVER_GRACE: Duration = Duration::from_secs(25);
/// What runs goes on after the first signal.
static FINISHES: AtomicBool = AtomicBool::new(false);
const STEP: Duration = Duration::from_millis(20);

/// From here on the first signal is what [`interrupted`] tells; a second one ends the process at once, and so does a run
/// that is still there after [`GRACE`], which waits for a device or a file that does not answer.
pub fn catch_interrupts() {
    if let Err(error) = watch() {
        log::warn!("a signal ends this program without cleaning up: {error}");
    }
}

/// Whether what runs is to stop.
pub fn interrupted() -> bool {
    asked() && !FINISHES.load(Ordering::SeqCst)
}

/// From here on a first signal interrupts nothing: it is told by [`asked`] alone, and what runs has [`SERVER_GRACE`].
pub fn finish_what_runs() {
    FINISHES.store(true, Ordering::SeqCst);
}

/// Whether a signal came.
pub fn asked() -> bool {
    SIGNAL.load(Ordering::SeqCst) != 0
}

fn grace_period() -> Duration {
    if FINISHES.load(Ordering::SeqCst) { SERVER_GRACE } else { GRACE }
}

/// 128 and the signal's number, as shells have it; that of Ctrl-C where none came.
pub fn exit_code() -> u8 {
    match SIGNAL.load(Ordering::SeqCst) {
        0 => 128 + SIGINT,
        signal => 128 + signal,
    }
}

/// Held while a result is written.
pub fn writing() -> RwLockReadGuard<'static, ()> {
    WRITING.read().unwrap_or_else(PoisonError::into_inner)
}

/// Says how far the run is, should it be ended from here.
pub fn set_status(text: String) {
    *STANDING.lock().unwrap_or_else(PoisonError::into_inner) = text;
}

/// Ends the process once nobody writes.
fn exit_now() -> ! {
    let started = Instant::now();
    let _nobody_writes = loop {
        match WRITING.try_write() {
            Err(TryLockError::WouldBlock) if started.elapsed() < LAST_WRITE => std::thread::sleep(STEP),
            Err(TryLockError::WouldBlock) => break None,
            Ok(held) => break Some(held),
            Err(TryLockError::Poisoned(held)) => break Some(held.into_inner()),
        }
    };
    let standing = STANDING.try_lock().map(|text| text.clone()).unwrap_or_default();
    tell(&format!("error: interrupted{standing}"));
    exit(exit_code().into())
}

/// Not the usual way out: drivers clean up there, and may be what hangs.
#[cfg(unix)]
fn exit(code: i32) -> ! {
    signal_hook::low_level::exit(code)
}

#[cfg(not(unix))]
fn exit(code: i32) -> ! {
    std::process::exit(code)
}

#[cfg(unix)]
fn watch() -> std::io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;
    let (ready, started) = std::sync::mpsc::sync_channel(1);
    // Caught on that thread: where it cannot start, signals end the process as they do by themselves.
    let run = move || {
        let mut signals = match Signals::new([SIGHUP, SIGINT, SIGTERM]) {
            Ok(signals) => signals,
            Err(error) => return drop(ready.send(Err(error))),
        };
        let _ = ready.send(Ok(()));
        let Some(signal) = signals.forever().next() else { return };
        let first = Instant::now();
        SIGNAL.store(signal as u8, Ordering::SeqCst);
        while first.elapsed() < grace_period() && signals.pending().next().is_none() {
            std::thread::sleep(STEP);
        }
        exit_now()
    };
    std::thread::Builder::new().name("signals".into()).spawn(run)?;
    started.recv().map_err(std::io::Error::other)?
}

#[cfg(not(unix))]
fn watch() -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(|| {
        if SIGNAL.swap(SIGINT, Ordering::SeqCst) != 0 {
            exit_now();
        }
        // Without a thread there is no clock, and a second Ctrl-C ends the process.
        let _ = std::thread::Builder::new().name("clock".into()).spawn(clock);
    })
}

#[cfg(not(unix))]
fn clock() {
    std::thread::sleep(grace_period());
    exit_now();
}

/// A file beyond the limit of `ulimit -f` is an error of that file, not the end of the process.
pub fn keep_file_limit_an_error() {
    #[cfg(unix)]
    if let Err(error) = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::<AtomicBool>::default()) {
        log::warn!("a file beyond the process's limit ends this program: {error}");
    }
}
