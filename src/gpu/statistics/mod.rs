//! Statistics that a driver reports about the code it made of a kernel.

#[cfg(any(target_vendor = "apple", target_arch = "wasm32"))]
mod none;
#[cfg(not(any(target_vendor = "apple", target_arch = "wasm32")))]
mod vulkan;

#[cfg(any(target_vendor = "apple", target_arch = "wasm32"))]
pub use none::Statistics;
#[cfg(not(any(target_vendor = "apple", target_arch = "wasm32")))]
pub use vulkan::Statistics;

/// One executable that a driver made.
#[derive(Clone, Debug, PartialEq)]
pub struct Code {
    pub name: String,
    /// Its subgroup size.
    pub lanes: u32,
    /// Values under the driver's own names, in its order.
    pub values: Vec<(String, f64)>,
}
