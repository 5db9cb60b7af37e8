//! `diffews_wgpu._native`: the library as Python calls it. What Python's users see is written in Python, on top of this
//! (`python/diffews_wgpu`): arrays come and go as bytes with their sizes, and errors are of classes that are defined there.

mod engine;
mod errors;
mod found;
mod owned;
mod picture;
mod watch;

#[pyo3::pymodule]
mod _native {
    #[pymodule_export]
    use super::engine::{Bank, Engine};
    #[pymodule_export]
    use super::found::{MaskObject, Prediction};
    use super::picture::{Picture, Shape};
    use super::{engine, errors, watch};
    use diffews_wgpu::gpu::list;
    use diffews_wgpu::image_io::PictureOptions;
    use pyo3::prelude::*;
    use pyo3::types::PyByteArray;
    use std::path::PathBuf;

    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    /// All adapters, as JSON.
    #[pyfunction]
    fn devices(py: Python<'_>, backend: Option<String>) -> PyResult<String> {
        let found = watch::watched(py, None, None, |_| Ok(list(&engine::choice(backend.as_deref(), None)?)))?;
        engine::json(serde_json::to_string(&found))
    }

    /// Where the command keeps what it remembers of adapters.
    #[pyfunction]
    fn cache_dir() -> Option<PathBuf> {
        let named = std::env::var_os("DIFFEWS_CACHE").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        named.or_else(|| dirs::cache_dir().map(|dir| dir.join("diffews-wgpu")))
    }

    /// The mask that is meant in a picture: width, height, bytes, and what is odd about it.
    #[pyfunction]
    fn read_mask<'py>(
        py: Python<'py>,
        picture: Picture,
        shape: Shape,
    ) -> PyResult<(u32, u32, Bound<'py, PyByteArray>, Vec<String>)> {
        let (mask, odd) = watch::watched(py, None, None, |_| shape.mask(&picture.load(&PictureOptions::default())?))?;
        errors::caught(|| Ok((mask.width(), mask.height(), PyByteArray::new(py, mask.as_bytes()), odd)))
    }
}
