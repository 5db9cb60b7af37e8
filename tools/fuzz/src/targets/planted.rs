//! Deliberate faults, for the fuzzer's own tests: each word triggers one that must be reported.

use super::{Ran, Runner};
use std::path::Path;

pub fn open(_: &Path) -> Runner {
    Box::new(|bytes, _| {
        match bytes {
            b"panic" => panic!("planted"),
            b"caught" => drop(std::panic::catch_unwind(|| panic!("planted, and caught"))),
            b"abort" => std::process::abort(),
            b"memory" => drop(std::hint::black_box(vec![1_u8; 40 << 20])),
            b"allowed" => {
                drop(std::hint::black_box(vec![1_u8; 40 << 20]));
                return Ran { accepted: true, allowed: 16 << 20 };
            }
            b"too much" => drop(std::hint::black_box(vec![1_u8; 7 << 30])),
            b"slow" => loop {
                std::hint::spin_loop();
            },
            _ => {}
        }
        Ran::new(bytes == b"right")
    })
}
