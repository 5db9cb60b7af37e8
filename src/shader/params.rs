//! A kernel's parameters: one struct of four-byte numbers, on the host and in WGSL.

/// Declares `struct Params` as plain data with `FIELDS`, the names of its fields in order. They match the WGSL struct of the kernel's
/// uniform, which `tests/translate.rs` checks.
macro_rules! params {
    ($($field:ident: $number:ty),* $(,)?) => {
        #[repr(C)]
        #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
        struct Params {
            $($field: $number),*
        }

        impl Params {
            const FIELDS: &'static [&'static str] = &[$(stringify!($field)),*];
        }
    };
}

pub(crate) use params;
