//! What a driver says of the code that it made of a kernel.

#[cfg(any(target_vendor = "apple", target_arch = "wasm32"))]
mod none;
#[cfg(not(any(target_vendor = "apple", target_arch = "wasm32")))]
mod vulkan;

#[cfg(any(target_vendor = "apple", target_arch = "wasm32"))]
pub use none::Statistics;
#[cfg(not(any(target_vendor = "apple", target_arch = "wasm32")))]
pub use vulkan::Statistics;

/// A piece of code that a driver made.
#[derive(Clone, Debug, PartialEq)]
pub struct Code {
    pub name: String,
    /// Lanes of its subgroups.
    pub lanes: u32,
    /// By the driver's own names, in its order.
    pub values: Vec<(String, f64)>,
}
