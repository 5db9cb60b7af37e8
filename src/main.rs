//! The `diffews-wgpu` command; everything of it is in [`cli`].

mod cli;

fn main() -> std::process::ExitCode {
    quiet_egl();
    forget_empty_variables();
    cli::main()
}

/// Mesa's EGL prints an error for each look at the adapters where a session has no runtime directory, as in
/// containers. Nothing here needs one; any directory satisfies it.
fn quiet_egl() {
    if cfg!(target_os = "linux") && std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: the process has only this thread yet; no other reads the environment.
        unsafe { std::env::set_var("XDG_RUNTIME_DIR", std::env::temp_dir()) };
    }
}

/// What is set to nothing counts as not set, as users expect; clap would take it for a flag without its value.
fn forget_empty_variables() {
    for (name, value) in std::env::vars_os() {
        if value.is_empty() && name.to_string_lossy().starts_with("DIFFEWS_") {
            // SAFETY: as above.
            unsafe { std::env::remove_var(name) };
        }
    }
}
