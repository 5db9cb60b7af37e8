//! Passes the commit to the benchmark, to conformance reports, and to `--version`.

use std::process::Command;

fn git(args: &[&str]) -> Option<String> {
    let said = Command::new("git").args(args).output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8(said.stdout).ok()?.trim().to_string())
}

fn main() {
    let commit = git(&["describe", "--always", "--dirty", "--abbrev=10"]);
    println!("cargo::rustc-env=DIFFEWS_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
    // A build from a package has no commit.
    let version = env!("CARGO_PKG_VERSION");
    let version = commit.map_or(version.to_owned(), |commit| format!("{version} ({commit})"));
    println!("cargo::rustc-env=DIFFEWS_VERSION={version}");
    // In a worktree, `.git` is a file that points to this directory.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"]);
    for path in ["src", "shaders", "Cargo.toml", log.as_deref().unwrap_or(".git/logs/HEAD")] {
        if std::path::Path::new(path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
}
