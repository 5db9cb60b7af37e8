//! Environment variables that choose the adapter. The library reads none; tests share this file, so that a driver can be chosen for
//! them too.

use diffews_wgpu::gpu::{AdapterChoice, GpuError, no_backend};
use wgpu::Backends;

/// Backend and adapter from the flags, else from `WGPU_BACKEND` and `WGPU_ADAPTER_NAME`; `DIFFEWS_CHECKED` and wgpu's other variables
/// set the rest.
///
/// # Errors
/// [`GpuError::Backend`] if `WGPU_BACKEND` is needed and names no backend.
pub fn choice(backends: Option<Backends>, adapter: Option<String>) -> Result<AdapterChoice, GpuError> {
    Ok(AdapterChoice {
        backends: match backends {
            Some(backends) => backends,
            None => variable(BACKEND).map_or(Ok(Backends::all()), |text| listed(&text))?,
        },
        adapter: adapter.or_else(|| variable("WGPU_ADAPTER_NAME")),
        checked: variable("DIFFEWS_CHECKED").is_some_and(|value| value == "1"),
        unproved: false,
        timed: false,
        flags: wgpu::InstanceFlags::default().with_env(),
        options: wgpu::BackendOptions::from_env_or_default(),
    })
}

const BACKEND: &str = "WGPU_BACKEND";

/// A variable of the environment; an empty one counts as unset.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Names separated by commas.
fn listed(text: &str) -> Result<Backends, GpuError> {
    let mut listed = Backends::empty();
    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        match Backends::from_comma_list(name) {
            unknown if unknown.is_empty() => {
                return Err(no_backend(&format!("{BACKEND}={text}: `{name}` is no backend")));
            }
            known => listed |= known,
        }
    }
    Ok(listed)
}
