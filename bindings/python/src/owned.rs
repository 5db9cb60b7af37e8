//! Values on a device, bound to the process that owns them.

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::process;

/// Dropped only in the process that made it: a forked child has copies of the handles and would free the parent's memory.
pub struct Owned<T> {
    inside: ManuallyDrop<T>,
    process: u32,
}

impl<T> Owned<T> {
    pub fn new(inside: T) -> Owned<T> {
        Owned { inside: ManuallyDrop::new(inside), process: process::id() }
    }

    /// Whether this process made it.
    pub fn is_here(&self) -> bool {
        self.process == process::id()
    }
}

impl<T> Deref for Owned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inside
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if self.is_here() {
            // SAFETY: it is dropped once, here, and nothing reads it afterwards.
            unsafe { ManuallyDrop::drop(&mut self.inside) }
        }
    }
}
