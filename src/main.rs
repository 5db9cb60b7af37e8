//! The `diffews-wgpu` command; everything of it is in [`cli`].

mod cli;

fn main() -> std::process::ExitCode {
    quiet_egl();
    cli::main()
}

/// Mesa's EGL prints an error for each look at the adapters where a session has no runtime directory, as in
/// containers. Nothing here needs one; any directory satisfies it.
fn quiet_egl() {
    if cfg!(target_os = "linux") && std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: this is the first thing that the process does; no other thread reads the environment.
        unsafe { std::env::set_var("XDG_RUNTIME_DIR", std::env::temp_dir()) };
    }
}
