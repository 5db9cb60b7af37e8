//! Maps errors and panics of the library to Python's exceptions.

use diffews_wgpu::Error;
use diffews_wgpu::formats::FormatError;
use diffews_wgpu::gpu::GpuError;
use diffews_wgpu::image_io::ImageError;
use diffews_wgpu::plan::Less;
use diffews_wgpu::segment::BankError;
use diffews_wgpu::weights::WeightsError;
use pyo3::prelude::*;
use pyo3::types::PyType;
use std::any::Any;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The classes of `diffews_wgpu/_errors.py`.
#[derive(Clone, Copy, Debug)]
enum Class {
    Other,
    Input,
    NotFound,
    Exists,
    File,
    OutOfMemory,
    Device,
}

impl Class {
    fn name(self) -> &'static str {
        match self {
            Class::Other => "DiffewsError",
            Class::Input => "InputError",
            Class::NotFound => "NotFoundError",
            Class::Exists => "ExistsError",
            Class::File => "FileError",
            Class::OutOfMemory => "OutOfMemoryError",
            Class::Device => "DeviceError",
        }
    }
}

fn raised(class: Class, message: String) -> PyErr {
    let made = Python::try_attach(|py| {
        let class = py.import("diffews_wgpu._errors")?.getattr(class.name())?.cast_into::<PyType>()?;
        Ok::<PyErr, PyErr>(PyErr::from_type(class, message.clone()))
    });
    match made {
        Some(Ok(error) | Err(error)) => error,
        // Python ends.
        None => pyo3::exceptions::PyRuntimeError::new_err(message),
    }
}

/// The Python exception for `error`, with the library's message.
pub fn of(error: &Error) -> PyErr {
    raised(class(error), error.to_string())
}

pub fn other(message: impl Into<String>) -> PyErr {
    raised(Class::Other, message.into())
}

fn class(error: &Error) -> Class {
    match error {
        Error::Image(error) | Error::Format(FormatError::Image(error)) => image(error),
        Error::Weights(error) => weights(error),
        Error::Bank(BankError::File(error)) => weights(error),
        Error::Bank(_) | Error::Config(_) | Error::Format(_) | Error::ForeignBank { .. } | Error::Usage(_) => {
            Class::Input
        }
        Error::Gpu(GpuError::OutOfMemory { .. }) => Class::OutOfMemory,
        Error::Gpu(GpuError::Backend(_)) => Class::Input,
        Error::Gpu(_) | Error::SelfCheck { .. } => Class::Device,
        Error::Plan(plan) if plan.less != Less::Nothing => Class::OutOfMemory,
        _ => Class::Other,
    }
}

fn image(error: &ImageError) -> Class {
    match error {
        ImageError::Read { cause, .. } | ImageError::Write { cause, .. } => of_system(cause.kind()),
        ImageError::NoParent { .. } => Class::NotFound,
        ImageError::Exists { .. } => Class::Exists,
        ImageError::IsDirectory { .. } | ImageError::OutputIsDirectory { .. } | ImageError::OutputNotAFile { .. } => {
            Class::File
        }
        _ => Class::Input,
    }
}

fn weights(error: &WeightsError) -> Class {
    match error {
        WeightsError::Io { source, .. } => of_system(source.kind()),
        WeightsError::NotFound { .. } => Class::NotFound,
        WeightsError::Exists { .. } => Class::Exists,
        WeightsError::WrongKind { .. } | WeightsError::Changed { .. } => Class::File,
        _ => Class::Input,
    }
}

fn of_system(kind: ErrorKind) -> Class {
    match kind {
        ErrorKind::NotFound => Class::NotFound,
        ErrorKind::AlreadyExists => Class::Exists,
        _ => Class::File,
    }
}

/// Runs `work` and returns a panic as an ordinary error: `except Exception` does not catch pyo3's own exception for it.
pub fn caught<T>(work: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(other(panic_message(panic.as_ref()))))
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("a defect of diffews-wgpu, please report it: {}", text.unwrap_or("without a message"))
}
