//! Signals: the first one stops the run at the next submission; the process ends within seconds even if something hangs.

use super::tell;
#[cfg(unix)]
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, TryLockError};
use std::time::{Duration, Instant};

/// The received signal, or 0.
static SIGNAL: AtomicU8 = AtomicU8::new(0);
/// Writers hold it shared; the thread that ends the process takes it exclusively, so that no partial file is left.
static WRITING: RwLock<()> = RwLock::new(());
/// The progress of the run, printed when the process is ended.
static STANDING: Mutex<String> = Mutex::new(String::new());
const SIGINT: u8 = 2;
/// Time for the run to end by itself after the first signal.
const GRACE: Duration = Duration::from_secs(5);
/// Time for a write to finish after that: the disk may hang.
const LAST_WRITE: Duration = Duration::from_secs(2);
/// Grace period of a server, which finishes running requests.
const SERVER_GRACE: Duration = Duration::from_secs(25);
/// Whether running work continues after the first signal.
static FINISHES: AtomicBool = AtomicBool::new(false);
const STEP: Duration = Duration::from_millis(20);

/// From here on the first signal sets [`interrupted`]. A second one ends the process at once, as does the end of [`GRACE`]: then
/// a device or a file does not answer.
pub fn catch_interrupts() {
    if let Err(error) = watch() {
        log::warn!("signals cannot be caught and will end this program without cleaning up: {error}");
    }
}

/// Whether the run must stop.
pub fn interrupted() -> bool {
    asked() && !FINISHES.load(Ordering::SeqCst)
}

/// From here on the first signal only sets [`asked`], and running work has [`SERVER_GRACE`] to finish.
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

/// 128 plus the signal's number, as in shells; Ctrl-C's if none came.
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

/// Sets the progress to print if the process is ended.
pub fn set_status(text: String) {
    *STANDING.lock().unwrap_or_else(PoisonError::into_inner) = text;
}

/// Ends the process once no result is being written.
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

/// Exits without running cleanup of drivers, which may hang.
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
    // Signals are caught on that thread: if it cannot start, they end the process by default.
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
        // If no thread starts, there is no timeout, and a second Ctrl-C ends the process.
        let _ = std::thread::Builder::new().name("clock".into()).spawn(clock);
    })
}

#[cfg(not(unix))]
fn clock() {
    std::thread::sleep(grace_period());
    exit_now();
}

/// Makes a file beyond `ulimit -f` an error of that file instead of the end of the process.
pub fn keep_file_limit_an_error() {
    #[cfg(unix)]
    if let Err(error) = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::<AtomicBool>::default()) {
        log::warn!("SIGXFSZ cannot be caught, so a file beyond `ulimit -f` will end this program: {error}");
    }
}
