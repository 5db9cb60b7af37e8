//! Runs the command, and makes pictures for it.

use image::{GrayImage, Luma, Rgb, RgbImage};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// The result of a process.
pub struct Run {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Run {
    fn new(output: Output) -> Run {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        let (out, err) = (text(output.stdout), text(output.stderr));
        assert!(!err.contains("panicked"), "{err}");
        // A process that was ended by a signal has no code.
        Run { code: output.status.code().unwrap_or(-1), out, err }
    }

    /// Expects exit code `code`, and each of `parts` on stderr.
    #[track_caller]
    pub fn expect(self, code: i32, parts: &[&str]) -> Run {
        assert_eq!(self.code, code, "exit code; stdout: {}\nstderr: {}", self.out, self.err);
        for part in parts {
            assert!(self.err.contains(part), "{part:?} is not in: {}", self.err);
        }
        // Besides ours, only the drivers' own notes may appear.
        assert!(code == 0 || self.err.contains("error: "), "{}", self.err);
        self
    }
}

/// A temporary folder with a support, its mask and a query, in which the command runs.
pub struct Place {
    dir: TempDir,
}

pub const SUPPORT: [&str; 4] = ["--support", "s.png", "--mask", "s_mask.png"];

impl Place {
    pub fn new() -> Place {
        let place = Place { dir: tempfile::tempdir().expect("a temporary directory") };
        picture(48, 40).save(place.path("s.png")).expect("support");
        disc(48, 40).save(place.path("s_mask.png")).expect("mask");
        picture(60, 50).save(place.path("q.png")).expect("query");
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).expect("written");
    }

    /// Names in the folder, sorted.
    pub fn names(&self) -> Vec<String> {
        names(self.dir.path())
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_diffews-wgpu"));
        command.env("DIFFEWS_CACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"));
        // Forms go by the rule, so they are always the same and no run measures them.
        command.env("DIFFEWS_TUNE", "0");
        command.current_dir(self.dir.path()).args(args);
        for name in ["WEIGHTS", "UNET", "SIZE", "PRECISION", "MAX_MEMORY", "BACKEND", "ADAPTER"] {
            command.env_remove(format!("DIFFEWS_{name}"));
        }
        command
    }

    pub fn run(&self, args: &[&str]) -> Run {
        Run::new(self.command(args).output().expect("the command starts"))
    }

    pub fn run_with(&self, env: &[(&str, &str)], args: &[&str]) -> Run {
        Run::new(self.command(args).envs(env.iter().copied()).output().expect("the command starts"))
    }

    /// `infer` with the support and `args`.
    pub fn infer(&self, args: &[&str]) -> Run {
        self.run(&infer(args))
    }
}

pub fn infer<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["infer"], &SUPPORT[..], args].concat()
}

pub fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("a directory");
    let mut names: Vec<String> = entries.map(|e| e.expect("entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

/// Hides every driver, also for errors that must be found before looking for one.
pub const NO_DRIVER: [(&str, &str); 3] =
    [("VK_ICD_FILENAMES", "/nonexistent"), ("VK_DRIVER_FILES", "/nonexistent"), ("DIFFEWS_BACKEND", "vulkan")];

/// A picture with edges and shades.
pub fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(x * 5) as u8, (y * 7) as u8, ((x / 8 + y / 8) % 2 * 200) as u8]))
}

pub fn disc(width: u32, height: u32) -> GrayImage {
    GrayImage::from_fn(width, height, |x, y| {
        let (dx, dy) = (x as i64 - width as i64 / 2, y as i64 - height as i64 / 2);
        Luma([if dx * dx + dy * dy < 150 { 255 } else { 0 }])
    })
}

/// Sends a signal to a child, without the program `kill`, which a minimal machine lacks.
#[cfg(unix)]
pub fn signal(child: &std::process::Child, signal: nix::sys::signal::Signal) {
    let pid = i32::try_from(child.id()).expect("a process number");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).expect("the child is there");
}

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The command's results of `--json`.
pub fn lines(out: &str) -> Vec<serde_json::Value> {
    out.lines().map(|line| serde_json::from_str(line).expect("a JSON object on each line")).collect()
}
