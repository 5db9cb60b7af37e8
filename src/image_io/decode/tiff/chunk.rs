//! From strips and tiles to plain samples: decompression and prediction.

use std::io::Read;

use super::directory::File;
use super::layout::{JPEG, Kind, Layout, Photometric};
use crate::image_io::ImageError;
use crate::image_io::decode::{Samples, Source, jpeg};

/// The first `rows` rows of chunk `index` of `layout`, in the file's byte order; `None` if the file lacks it.
///
/// Decodes no more than requested, whatever the chunk claims to hold.
pub fn read(source: &Source, layout: &Layout, file: File, index: usize, rows: u32) -> Result<Option<Vec<u8>>, String> {
    let Some(raw) = layout.raw(file, index)? else { return Ok(None) };
    let reversed: Vec<u8>;
    let raw = match layout.reversed {
        true => {
            reversed = raw.iter().map(|byte| byte.reverse_bits()).collect();
            &reversed
        }
        false => raw,
    };
    let row = layout.row_bytes() as usize;
    let want = row * rows as usize;
    let mut bytes = match layout.compression {
        JPEG => picture(source, layout, raw)?,
        _ => decompress(layout, raw, want)?,
    };
    if bytes.len() < want {
        return Err(format!("{} ends after {} of {want} bytes", layout.named(index), bytes.len()));
    }
    bytes.truncate(want);
    for row in bytes.chunks_exact_mut(row) {
        unpredict(layout, file.big_endian, row)?;
    }
    Ok(Some(bytes))
}

/// Most output bytes per byte of deflate: two bits copy 258 bytes.
const DEFLATE_MOST: usize = 1032;
/// Most output bytes per byte of LZW: nine bits are one of 4,096 entries, each at most a byte longer than another.
const LZW_MOST: usize = 4096;

/// Decompresses at most `want` bytes, fewer if the chunk ends early. Allocates no more than `raw` can expand to.
fn decompress(layout: &Layout, raw: &[u8], want: usize) -> Result<Vec<u8>, String> {
    match layout.compression {
        1 => Ok(raw[..raw.len().min(want)].to_vec()),
        5 => lzw(raw, want),
        8 | 32946 => {
            let mut bytes = Vec::with_capacity(want.min(raw.len().saturating_mul(DEFLATE_MOST)));
            // Use the bytes before an error: the end mark may be missing.
            let result = flate2::read::ZlibDecoder::new(raw).take(want as u64).read_to_end(&mut bytes);
            if bytes.len() < want { result.map(|_| bytes).map_err(|e| e.to_string()) } else { Ok(bytes) }
        }
        32773 => Ok(packbits(raw, want)),
        4 => fax(layout, raw, want),
        other => {
            let name = match other {
                2 | 3 => "CCITT group 3 fax",
                6 => "old-style JPEG",
                34712 | 33003 | 33005 => "JPEG 2000",
                34887 => "LERC",
                34925 => "LZMA",
                50000 => "Zstandard",
                50001 => "WebP",
                50002 | 52546 => "JPEG XL",
                _ => return Err(format!("its samples have the unknown compression {other}")),
            };
            Err(format!("its samples are compressed with {name}, which is not supported"))
        }
    }
}

fn lzw(raw: &[u8], want: usize) -> Result<Vec<u8>, String> {
    if raw.len() > 1 && raw[0] == 0 && raw[1] & 1 == 1 {
        return Err("its samples are compressed with old-style LZW, which is not supported".into());
    }
    let mut decoder = weezl::decode::Decoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8);
    let mut bytes = vec![0; want.min(raw.len().saturating_mul(LZW_MOST))];
    let (mut from, mut to) = (0, 0);
    while to < bytes.len() {
        let step = decoder.decode_bytes(&raw[from..], &mut bytes[to..]);
        from += step.consumed_in;
        to += step.consumed_out;
        match step.status {
            Ok(weezl::LzwStatus::Ok) => {}
            Ok(weezl::LzwStatus::NoProgress | weezl::LzwStatus::Done) => break,
            Err(e) => return Err(format!("LZW: {e}")),
        }
    }
    bytes.truncate(to);
    Ok(bytes)
}

fn packbits(mut raw: &[u8], want: usize) -> Vec<u8> {
    // Two bytes expand to at most 128.
    let mut bytes = Vec::with_capacity(want.min(raw.len().saturating_mul(64)));
    while let Some((&head, rest)) = raw.split_first().filter(|_| bytes.len() < want) {
        raw = rest;
        match head as i8 {
            -128 => {}
            run if run < 0 => {
                let Some((&byte, rest)) = raw.split_first() else { break };
                bytes.resize(bytes.len() + 1 + usize::from(run.unsigned_abs()), byte);
                raw = rest;
            }
            run => {
                let (plain, rest) = raw.split_at(raw.len().min(1 + run as usize));
                bytes.extend(plain);
                raw = rest;
            }
        }
    }
    bytes.truncate(want);
    bytes
}

/// Decodes a chunk that is a JPEG. Common tables are stored once for all chunks. The TIFF gives the colour space, because a JPEG
/// without a marker does not.
fn picture(source: &Source, layout: &Layout, raw: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = b"\xff\xd8".to_vec();
    if layout.together() >= 3 {
        let transform = u8::from(layout.photometric == Photometric::YCbCr);
        bytes.extend(b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0");
        bytes.push(transform);
    }
    let inside = |jpeg: &[u8]| jpeg.strip_prefix(b"\xff\xd8").unwrap_or(jpeg).to_vec();
    let tables = inside(&layout.jpeg_tables);
    bytes.extend(tables.strip_suffix(b"\xff\xd9").unwrap_or(&tables));
    bytes.extend(inside(raw));
    let decoded = jpeg::decode(&Source { bytes: &bytes, ..*source }).map_err(|error| match error {
        ImageError::Decode { reason, .. } => reason,
        ImageError::Truncated { .. } => "a JPEG in it is cut off".into(),
        other => other.to_string(),
    })?;
    if decoded.width != layout.chunk.0 || decoded.channels != layout.together() {
        let (width, channels) = (decoded.width, decoded.channels);
        return Err(format!(
            "it holds a JPEG with {width} pixels per row and {channels} samples per pixel, unlike the TIFF"
        ));
    }
    match decoded.samples {
        Samples::Eight(samples) => Ok(samples),
        Samples::Inks(_) => Err("it holds a CMYK JPEG, which is not supported".into()),
        _ => Err("it holds a JPEG with more than 8 bits".into()),
    }
}

/// CCITT group 4: a bit for each pixel, 1 in black runs. The photometric tag defines their colour.
fn fax(layout: &Layout, raw: &[u8], want: usize) -> Result<Vec<u8>, String> {
    let width = u16::try_from(layout.chunk.0).map_err(|_| "it has fax rows of more than 65,535 pixels")?;
    if layout.bits != 1 || layout.together() != 1 {
        return Err("its samples are compressed as fax and have more than 1 bit".into());
    }
    let row = layout.row_bytes() as usize;
    let mut bytes = Vec::with_capacity(want);
    let input = raw.iter().map(|&byte| Ok::<u8, std::convert::Infallible>(byte));
    let mut decoder = fax::decoder::Group4Decoder::new(input, width).map_err(|_| "the fax code is damaged")?;
    while bytes.len() < want {
        match decoder.advance() {
            Ok(fax::decoder::DecodeStatus::Incomplete) => {}
            Ok(fax::decoder::DecodeStatus::End) => break,
            Err(_) => return Err("the fax code is damaged".into()),
        }
        let begin = bytes.len();
        bytes.resize(begin + row, 0_u8);
        for (x, color) in decoder.line().pels().take(usize::from(width)).enumerate() {
            bytes[begin + x / 8] |= u8::from(color == fax::Color::Black) << (7 - x % 8);
        }
    }
    Ok(bytes)
}

/// Undoes the prediction in a row, which stores differences.
fn unpredict(layout: &Layout, big_endian: bool, row: &mut [u8]) -> Result<(), String> {
    let step = layout.together();
    match (layout.predictor, layout.bits) {
        (1, _) => {}
        (2, 8) => {
            for i in step..row.len() {
                row[i] = row[i].wrapping_add(row[i - step]);
            }
        }
        (2, 16) => sum(row, step, big_endian, u16::from_be_bytes, u16::to_be_bytes, u16::wrapping_add),
        (2, 32) => sum(row, step, big_endian, u32::from_be_bytes, u32::to_be_bytes, u32::wrapping_add),
        (2, 64) => sum(row, step, big_endian, u64::from_be_bytes, u64::to_be_bytes, u64::wrapping_add),
        (3, bits) if layout.kind == Kind::Float => {
            for i in step..row.len() {
                row[i] = row[i].wrapping_add(row[i - step]);
            }
            // The high bytes of all samples come first, then the next bytes.
            let size = bits as usize / 8;
            let count = row.len() / size;
            let planes = row.to_vec();
            for (i, sample) in row.chunks_exact_mut(size).enumerate() {
                for (k, byte) in sample.iter_mut().enumerate() {
                    let plane = if big_endian { k } else { size - 1 - k };
                    *byte = planes[plane * count + i];
                }
            }
        }
        (predictor, bits) => return Err(format!("it uses predictor {predictor} on samples of {bits} bits")),
    }
    Ok(())
}

fn sum<T: Copy, const N: usize>(
    row: &mut [u8],
    step: usize,
    big_endian: bool,
    from: fn([u8; N]) -> T,
    to: fn(T) -> [u8; N],
    add: fn(T, T) -> T,
) {
    let (samples, _) = row.as_chunks_mut::<N>();
    let turned = |mut bytes: [u8; N]| {
        if !big_endian {
            bytes.reverse();
        }
        bytes
    };
    for i in step..samples.len() {
        let sum = add(from(turned(samples[i])), from(turned(samples[i - step])));
        samples[i] = turned(to(sum));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_runs_end_where_they_must() {
        // 3 literal bytes, a no-op, 4 times 9.
        assert_eq!(packbits(&[2, 1, 2, 3, 128, 253, 9], 100), [1, 2, 3, 9, 9, 9, 9]);
        assert_eq!(packbits(&[2, 1, 2, 3, 128, 253, 9], 5), [1, 2, 3, 9, 9]);
        assert_eq!(packbits(&[5, 1], 9), [1]);
        assert_eq!(packbits(&[250], 9), [0; 0]);
    }
}
