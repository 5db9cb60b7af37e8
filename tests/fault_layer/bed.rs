//! Runs the command with the layer.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const NAME: &str = "VK_LAYER_DIFFEWS_faults";

/// A temporary folder where the command runs, with the layer's manifest and log.
pub struct Bed {
    dir: TempDir,
    layer: TempDir,
}

/// The result of a process.
pub struct Run {
    pub code: i32,
    pub out: String,
    pub err: String,
    /// The number of calls of each kind.
    pub calls: HashMap<String, usize>,
    /// Whether the layer made one of them fail.
    pub hit: bool,
}

impl Bed {
    pub fn new() -> Bed {
        let program = Path::new(env!("CARGO_BIN_EXE_diffews-wgpu"));
        let library = program.with_file_name("examples").join("libfault_layer.so");
        assert!(
            library.is_file(),
            "{} is not there: `cargo test` builds it; with --test alone, `cargo build --example fault_layer` does",
            library.display()
        );
        let bed = Bed { dir: tempfile::tempdir().unwrap(), layer: tempfile::tempdir().unwrap() };
        let manifest = serde_json::json!({
            "file_format_version": "1.0.0",
            "layer": {
                "name": NAME, "type": "GLOBAL", "library_path": library, "api_version": "1.3.0",
                "implementation_version": "1", "description": "faults for tests",
            },
        });
        fs::write(bed.layer.path().join("faults.json"), manifest.to_string()).unwrap();
        bed
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// Names in the folder, sorted.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The calls so far, by kind; failed ones end in `!`.
    fn log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.layer.path().join("log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// Runs with `fault`; see `layer.rs`.
    fn command(&self, fault: &str, args: &[&str]) -> Command {
        let _ = fs::remove_file(self.layer.path().join("log"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_diffews-wgpu"));
        command.current_dir(self.dir.path()).args(args);
        for name in ["WEIGHTS", "UNET", "SIZE", "PRECISION", "BACKEND", "ADAPTER"] {
            command.env_remove(format!("DIFFEWS_{name}"));
        }
        // The number of calls must not depend on earlier runs.
        command.env("DIFFEWS_SELF_CHECK", "0").env("DIFFEWS_TUNE", "0");
        // The layer sees Vulkan only.
        command.env("WGPU_BACKEND", "vulkan").env("VK_LAYER_PATH", self.layer.path()).env("VK_INSTANCE_LAYERS", NAME);
        command.env("FAULT_LAYER", fault).env("FAULT_LAYER_LOG", self.layer.path().join("log"));
        command
    }

    #[track_caller]
    pub fn run(&self, fault: &str, args: &[&str]) -> Run {
        let output = self.command(fault, args).output().unwrap();
        self.judged(fault, output)
    }

    /// Checks that apply to every run, however it ends.
    #[track_caller]
    fn judged(&self, fault: &str, output: Output) -> Run {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (out, err) = (text(output.stdout), text(output.stderr));
        let log = self.log();
        assert!(
            !log.is_empty(),
            "{fault}: the layer has counted nothing: does the Vulkan loader load {NAME}? stderr: {err}"
        );
        assert!(!err.contains("panicked"), "{fault}: {err}");
        let code = output.status.code().unwrap_or_else(|| panic!("{fault}: {}: {err}", output.status));
        assert!(code == 0 || err.contains("error: "), "{fault}: exit {code} without a word: {err}");
        let left = self.names().into_iter().find(|name| name.ends_with(".part"));
        assert_eq!(left, None, "{fault}: half a file");
        let mut calls = HashMap::new();
        for call in &log {
            *calls.entry(call.trim_end_matches('!').to_owned()).or_default() += 1;
        }
        Run { code, out, err, calls, hit: log.iter().any(|call| call.ends_with('!')) }
    }

    /// Starts the command, waits for the fault, and sends one termination signal.
    #[track_caller]
    pub fn terminated(&self, fault: &str, args: &[&str]) -> (Run, Duration) {
        let mut command = self.command(fault, args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let patience = Instant::now() + Duration::from_secs(120);
        while !self.log().iter().any(|call| call.ends_with('!')) {
            assert!(child.try_wait().unwrap().is_none() && Instant::now() < patience, "{fault}: it has not happened");
            std::thread::sleep(Duration::from_millis(20));
        }
        // By now it waits for the device, and would do so for ever.
        std::thread::sleep(Duration::from_millis(500));
        assert!(child.try_wait().unwrap().is_none(), "{fault}: the device hangs, and the process has ended");
        let asked = Instant::now();
        nix::sys::signal::kill(pid(&child), nix::sys::signal::Signal::SIGTERM).unwrap();
        while child.try_wait().unwrap().is_none() {
            if asked.elapsed() > Duration::from_secs(30) {
                child.kill().unwrap();
                panic!("{fault}: one SIGTERM has not ended it");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let took = asked.elapsed();
        (self.judged(fault, child.wait_with_output().unwrap()), took)
    }
}

fn pid(child: &Child) -> nix::unistd::Pid {
    nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap())
}

pub fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The arguments of `infer` with a small model, its example and `queries`.
pub fn infer(queries: &[&str], more: &[&str]) -> Vec<String> {
    let file = |name: &str| golden().join("odd").join(name).to_str().unwrap().to_owned();
    let own =
        ["infer", "--weights", &file(""), "--support", &file("support_0.png"), "--mask", &file("support_0_mask.png")];
    let queries = ["--query"].iter().chain(queries).chain(["--precision", "f32", "-q"].iter());
    own.iter().chain(queries).chain(more).map(|arg| (*arg).to_owned()).collect()
}
