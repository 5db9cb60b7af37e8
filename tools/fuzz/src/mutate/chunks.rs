//! PNG, WebP and JPEG: files of named chunks. They are split, changed chunk by chunk, and reassembled with correct lengths and checksums.

use super::fields::{self, ANMF, IHDR, SOF, VP8X};
use super::{Source, bytes};
use flate2::{Compression, Crc, read::ZlibDecoder, write::ZlibEncoder};
use std::io::{Read, Write};

#[derive(Clone)]
struct Chunk {
    kind: Vec<u8>,
    data: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq)]
enum Format {
    Png,
    WebP,
    Jpeg,
}

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Chunks that unpack to more stay packed.
const UNPACKED: u64 = 1 << 18;

pub fn mutate(input: &mut Vec<u8>, source: &mut Source) {
    let found = parse(input);
    let Some((format, mut chunks)) = found.filter(|(_, chunks)| !chunks.is_empty() && !source.once_in(5)) else {
        return bytes(input, source);
    };
    for _ in 0..source.few() {
        edit(format, &mut chunks, source);
    }
    *input = build(format, &chunks);
}

fn edit(format: Format, chunks: &mut Vec<Chunk>, source: &mut Source) {
    if chunks.is_empty() {
        return;
    }
    let count = chunks.len();
    let at = source.below(count);
    match source.below(10) {
        0 => {
            let copy = chunks[at].clone();
            chunks.insert(source.below(count + 1), copy);
        }
        1 => drop(chunks.remove(at)),
        2 => chunks.swap(at, source.below(count)),
        3 => {
            // A chunk of another file of the format.
            let other = source.other().to_vec();
            if let Some((_, others)) = parse(&other).filter(|(f, o)| *f == format && !o.is_empty()) {
                let piece = source.one_of(&others).clone();
                if source.rng.bool() { chunks[at] = piece } else { chunks.insert(source.below(count + 1), piece) }
            }
        }
        4 => {
            let len = source.few() * 6;
            let data = source.noise(len);
            chunks.insert(source.below(count + 1), Chunk { kind: new_kind(format, source), data });
        }
        _ => content(&mut chunks[at], source),
    }
}

fn new_kind(format: Format, source: &mut Source) -> Vec<u8> {
    match format {
        Format::Png => {
            let kinds = [
                "tRNS", "PLTE", "acTL", "fcTL", "fdAT", "eXIf", "iCCP", "iTXt", "zTXt", "tEXt", "gAMA", "sBIT", "cICP",
                "IEND",
            ];
            source.one_of(&kinds).as_bytes().to_vec()
        }
        Format::WebP => {
            source.one_of(&["VP8 ", "VP8L", "VP8X", "ALPH", "ANIM", "ANMF", "ICCP", "EXIF", "XMP "]).as_bytes().to_vec()
        }
        Format::Jpeg => {
            let markers = [
                0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc9, 0xcc, 0xd0, 0xd8, 0xda, 0xdb, 0xdc, 0xdd, 0xe0, 0xe1, 0xe2, 0xee,
                0xfe,
            ];
            vec![*source.one_of(&markers)]
        }
    }
}

/// Changes the contents of a chunk, depending on its kind.
fn content(chunk: &mut Chunk, source: &mut Source) {
    let known = match chunk.kind.as_slice() {
        b"IHDR" => Some((IHDR, true)),
        b"VP8X" => Some((VP8X, false)),
        b"ANMF" => Some((ANMF, false)),
        [0xc0..=0xc3 | 0xc5..=0xc7] => Some((SOF, true)),
        _ => None,
    };
    match (known, chunk.kind.as_slice()) {
        (Some((known, big_endian)), _) if !source.once_in(4) => fields::set(&mut chunk.data, known, big_endian, source),
        (_, b"IDAT" | b"fdAT") if source.rng.bool() => {
            // The sequence number of fdAT precedes the compressed data.
            let start = if chunk.kind == b"fdAT" { 4.min(chunk.data.len()) } else { 0 };
            let mut raw = Vec::new();
            // Truncated or damaged data is unpacked as far as possible.
            let _ = ZlibDecoder::new(&chunk.data[start..]).take(UNPACKED).read_to_end(&mut raw);
            bytes(&mut raw, source);
            let mut encoder = ZlibEncoder::new(chunk.data[..start].to_vec(), Compression::fast());
            if encoder.write_all(&raw).is_ok()
                && let Ok(packed) = encoder.finish()
            {
                chunk.data = packed;
            }
        }
        _ => bytes(&mut chunk.data, source),
    }
}

fn parse(input: &[u8]) -> Option<(Format, Vec<Chunk>)> {
    if input.starts_with(PNG) {
        return Some((Format::Png, png(input)));
    }
    if input.starts_with(b"RIFF") && input.get(8..12) == Some(b"WEBP") {
        return Some((Format::WebP, riff(input)));
    }
    input.starts_with(&[0xff, 0xd8]).then(|| (Format::Jpeg, jpeg(input)))
}

fn png(input: &[u8]) -> Vec<Chunk> {
    let (mut chunks, mut at) = (Vec::new(), PNG.len());
    while let Some(&[a, b, c, d]) = input.get(at..at + 4) {
        let len = u32::from_be_bytes([a, b, c, d]) as usize;
        let Some(data) = input.get(at + 8..at.saturating_add(8).saturating_add(len)) else { break };
        chunks.push(Chunk { kind: input[at + 4..at + 8].to_vec(), data: data.to_vec() });
        at += 12 + len;
    }
    chunks
}

fn riff(input: &[u8]) -> Vec<Chunk> {
    let (mut chunks, mut at) = (Vec::new(), 12);
    while let Some(&[a, b, c, d]) = input.get(at + 4..at + 8) {
        let len = u32::from_le_bytes([a, b, c, d]) as usize;
        let Some(data) = input.get(at + 8..at.saturating_add(8).saturating_add(len)) else { break };
        chunks.push(Chunk { kind: input[at..at + 4].to_vec(), data: data.to_vec() });
        at += 8 + len + len % 2;
    }
    chunks
}

/// A segment's chunk is the data after its length; entropy-coded data is a chunk without a name.
fn jpeg(input: &[u8]) -> Vec<Chunk> {
    let (mut chunks, mut at) = (Vec::new(), 2);
    while at + 1 < input.len() {
        let marker = input[at + 1];
        if input[at] == 0xff && matches!(marker, 0x01 | 0xd0..=0xd9) {
            chunks.push(Chunk { kind: vec![marker], data: Vec::new() });
            at += 2;
        } else if input[at] == 0xff && !matches!(marker, 0 | 0xff) {
            let Some(&[high, low]) = input.get(at + 2..at + 4) else { break };
            let len = usize::from(u16::from_be_bytes([high, low]));
            let Some(data) = input.get(at + 4..at + 2 + len) else { break };
            chunks.push(Chunk { kind: vec![marker], data: data.to_vec() });
            at += 2 + len;
        } else {
            let stop = |w: &[u8]| w[0] == 0xff && w[1] != 0;
            let end = input[at + 1..].windows(2).position(stop).map_or(input.len(), |n| at + 1 + n);
            chunks.push(Chunk { kind: Vec::new(), data: input[at..end].to_vec() });
            at = end;
        }
    }
    chunks
}

fn build(format: Format, chunks: &[Chunk]) -> Vec<u8> {
    let mut out = match format {
        Format::Png => PNG.to_vec(),
        Format::WebP => b"RIFF\0\0\0\0WEBP".to_vec(),
        Format::Jpeg => vec![0xff, 0xd8],
    };
    for Chunk { kind, data } in chunks {
        match format {
            Format::Png => {
                let mut crc = Crc::new();
                crc.update(kind);
                crc.update(data);
                out.extend((data.len() as u32).to_be_bytes());
                out.extend([kind.as_slice(), data, &crc.sum().to_be_bytes()].concat());
            }
            Format::WebP => {
                out.extend(kind);
                out.extend((data.len() as u32).to_le_bytes());
                out.extend(data);
                out.resize(out.len() + data.len() % 2, 0);
            }
            Format::Jpeg => match kind.first() {
                Some(&marker) if data.is_empty() && matches!(marker, 0x01 | 0xd0..=0xd9) => out.extend([0xff, marker]),
                Some(&marker) => {
                    out.extend([0xff, marker]);
                    out.extend((data.len() as u16).wrapping_add(2).to_be_bytes());
                    out.extend(data);
                }
                None => out.extend(data),
            },
        }
    }
    if format == Format::WebP {
        let len = (out.len() - 8) as u32;
        out[4..8].copy_from_slice(&len.to_le_bytes());
    }
    out
}
