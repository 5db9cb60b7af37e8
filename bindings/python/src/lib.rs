//! `diffews_wgpu._native`: the library for Python. The public API is written in Python on top of it
//! (`python/diffews_wgpu`): arrays are passed as bytes with their sizes, and exception classes are defined there.

mod engine;
mod errors;
mod owned;
mod picture;
mod prediction;
mod watch;
mod write;

#[pyo3::pymodule]
mod _native {
    #[pymodule_export]
    use super::engine::{Bank, Engine};
    use super::picture::{Picture, Shape};
    #[pymodule_export]
    use super::prediction::{MaskObject, Prediction};
    use super::{engine, errors, watch, write};
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

    /// The command's cache directory.
    #[pyfunction]
    fn cache_dir() -> Option<PathBuf> {
        let named = std::env::var_os("DIFFEWS_CACHE").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        named.or_else(|| dirs::cache_dir().map(|dir| dir.join("diffews-wgpu")))
    }

    /// Writes results as `_write.py` says.
    #[pyfunction]
    #[pyo3(name = "write")]
    fn write_results(
        py: Python<'_>,
        path: PathBuf,
        asked: write::Asked,
        names: Option<Vec<String>>,
        items: Vec<write::Item>,
    ) -> PyResult<()> {
        watch::watched(py, None, None, |_| write::write(&path, &asked, names.as_deref(), &items))
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
