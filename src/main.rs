//! The `diffews-wgpu` command, implemented in [`cli`].

mod cli;

fn main() -> std::process::ExitCode {
    quiet_egl();
    forget_empty_variables();
    cli::main()
}

/// Mesa's EGL prints an error whenever adapters are listed without a runtime directory, as in
/// containers. Nothing here needs one, so any directory will do.
fn quiet_egl() {
    if cfg!(target_os = "linux") && std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: the process has only this thread so far; no other reads the environment.
        unsafe { std::env::set_var("XDG_RUNTIME_DIR", std::env::temp_dir()) };
    }
}

/// Treats empty variables as unset, as users expect; clap would treat them as flags without a value.
fn forget_empty_variables() {
    for (name, value) in std::env::vars_os() {
        if value.is_empty() && name.to_string_lossy().starts_with("DIFFEWS_") {
            // SAFETY: as above.
            unsafe { std::env::remove_var(name) };
        }
    }
}
