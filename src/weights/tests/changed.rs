//! Files that another process changes while they are read: an error, never a signal or wrong values.

use super::*;
use std::fs::OpenOptions;
use std::io::{Seek, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// More than one piece of reading.
const LEN: usize = (1 << 20) + 77;

fn opened() -> (tempfile::TempDir, std::path::PathBuf, Weights) {
    let dir = tempfile::tempdir().unwrap();
    let values = vec![1.0; LEN];
    let bytes = file_of(&[("a", Dtype::F32, &[LEN], &f32s(&values)), ("b", Dtype::F32, &[1], &f32s(&[2.0]))]);
    write(dir.path(), "unet/diffusion_pytorch_model.safetensors", bytes);
    let weights = Weights::open_component(dir.path(), "unet").unwrap();
    // Later writes get another time.
    std::thread::sleep(Duration::from_millis(30));
    (dir, std::path::PathBuf::from(weights.name()), weights)
}

fn read(weights: &Weights, name: &str) -> Result<Vec<f32>, WeightsError> {
    weights.look(name).unwrap().to_f32()
}

#[test]
fn a_large_tensor_is_read_in_pieces() {
    let dir = tempfile::tempdir().unwrap();
    for dtype in [Dtype::F16, Dtype::F32, Dtype::F64] {
        let values: Vec<f32> = (0..LEN).map(|i| (i % 1999) as f32).collect();
        let bytes: Vec<u8> = match dtype {
            Dtype::F16 => values.iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect(),
            Dtype::F64 => values.iter().flat_map(|&v| f64::from(v).to_le_bytes()).collect(),
            _ => f32s(&values),
        };
        write(dir.path(), "t.safetensors", file_of(&[("t", dtype, &[LEN], &bytes)]));
        let weights = Weights::open_file(&dir.path().join("t.safetensors")).unwrap();
        assert!(read(&weights, "t").unwrap() == values, "{dtype:?}");
        let tensor = weights.look("t").unwrap();
        assert_eq!(tensor.to_f32_range(LEN - 3..LEN).unwrap(), values[LEN - 3..]);
    }
}

#[test]
fn a_file_that_was_shortened_ends_early() {
    let (_dir, path, weights) = opened();
    assert_eq!(read(&weights, "b").unwrap(), [2.0]);
    OpenOptions::new().write(true).open(&path).unwrap().set_len(100).unwrap();
    for name in ["a", "b"] {
        let error = read(&weights, name).unwrap_err();
        assert!(matches!(error, WeightsError::Changed { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("ends early") && text.contains("diffusion_pytorch_model"), "{text}");
    }
}

#[test]
fn a_file_that_was_rewritten_in_place_is_not_used() {
    let (_dir, path, weights) = opened();
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(std::io::SeekFrom::End(-1)).unwrap();
    file.write_all(&[0]).unwrap();
    drop(file);
    // Neither can the untouched tensor be read: the model as a whole would be a mixture.
    for name in ["a", "b"] {
        assert!(message(read(&weights, name)).contains("changed while it was being read"));
    }
    // A longer file has changed, too.
    let (_dir, path, weights) = opened();
    OpenOptions::new().append(true).open(&path).unwrap().write_all(&[0]).unwrap();
    assert!(message(read(&weights, "b")).contains("changed while it was being read"));
}

#[cfg(unix)]
#[test]
fn another_file_in_its_place_does_not_matter() {
    let (dir, path, weights) = opened();
    write(dir.path(), "new", scalar("c", 3.0));
    fs::rename(dir.path().join("new"), &path).unwrap();
    assert_eq!(read(&weights, "b").unwrap(), [2.0]);
    fs::remove_file(&path).unwrap();
    assert!(read(&weights, "a").unwrap().iter().all(|&v| v == 1.0));
}

/// What `cp` over a file does, again and again beside the reader.
#[test]
fn readers_beside_a_writer_get_the_values_or_an_error() {
    let (_dir, path, weights) = opened();
    let whole = fs::read(&path).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                fs::write(&path, &whole[..whole.len() / 3]).unwrap();
                fs::write(&path, vec![0; whole.len()]).unwrap();
            }
        });
        let mut refused = 0;
        for _ in 0..200 {
            match read(&weights, "a") {
                Ok(values) => assert!(values.iter().all(|&v| v == 1.0)),
                Err(error) => {
                    assert!(matches!(error, WeightsError::Changed { .. }), "{error}");
                    refused += 1;
                }
            }
        }
        done.store(true, Ordering::Relaxed);
        assert!(refused > 0);
    });
}
