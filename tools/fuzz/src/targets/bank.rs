//! Banks in files: described and written again.

use super::{Ran, Runner};
use crate::mutate::safetensors::join;
use diffews_wgpu::BankFile;
use diffews_wgpu::segment::BankOptions;
use serde_json::{Map, Value, json};
use std::path::Path;

/// With two examples and two layers, in f32 and in f16.
pub fn seeds() -> Vec<Vec<u8>> {
    [("F32", 4), ("F16", 2)].map(|(dtype, size)| bank(dtype, size)).to_vec()
}

fn bank(dtype: &str, size: usize) -> Vec<u8> {
    let metadata = json!({
        "diffews_bank": "1", "model": "0123456789abcdef", "model_name": "m", "size": "64", "precision": "f32",
        "name": "cat", "examples": "[\"a.png\", \"b.png\"]",
    });
    let (mut all, mut end) = (Map::new(), 0);
    all.insert("__metadata__".into(), metadata);
    let mut add = |name: String, dtype: &str, shape: Vec<usize>, bytes: usize| {
        all.insert(name, json!({ "dtype": dtype, "shape": shape, "data_offsets": [end, end + bytes] }));
        end += bytes;
    };
    for layer in 0..2 {
        ["k", "v"].iter().for_each(|kv| add(format!("layers.{layer}.{kv}"), dtype, vec![2, 3, 4], 24 * size));
    }
    for example in 0..2 {
        add(format!("examples.{example}.image"), "U8", vec![4, 5, 3], 60);
        add(format!("examples.{example}.mask"), "U8", vec![4, 5], 20);
    }
    join(Value::Object(all).to_string().as_bytes(), &vec![0; end])
}

pub fn open(dir: &Path) -> Runner {
    let copy = dir.join("copy.bank");
    Box::new(move |_, file| {
        let Ok(bank) = BankFile::open(file) else { return Ran::new(false) };
        bank.count();
        let shots = bank.shots();
        let small = (0..shots).all(|example| bank.small(example).is_ok());
        let options = BankOptions { name: bank.name(), storage: bank.storage(), force: true };
        let written = BankFile::join(&[(&bank, 0..shots)], &copy, &options).is_ok();
        if written {
            let again = BankFile::open(&copy).expect("what was written is a bank");
            assert_eq!((again.shots(), again.model(), again.count()), (shots, bank.model(), bank.count()));
        }
        Ran::new(small && written)
    })
}
