//! The resizing that defines the network's input and output, and the conversion from bytes to [-1, 1].
//!
//! Bilinear resizing equals Pillow's bit for bit. SIMD crates keep fewer bits in their weights, which
//! changes a tenth to a quarter of an ordinary photo's samples by one level; the network's output then differs
//! by far more than the engine's own rounding.

use image::RgbImage;

use super::{ImageError, Mask, check_length};

/// The weights of one axis: each output is a weighted sum of a run of inputs.
struct Taps {
    /// For each output: the index of its first input, and the range of its weights.
    runs: Vec<(usize, std::ops::Range<usize>)>,
    /// Normalised: the weights of an output sum to 1.
    weights: Vec<f64>,
}

impl Taps {
    /// Pillow's triangle filter: as wide as one input pixel to each side when enlarging, as one output pixel
    /// when shrinking (`precompute_coeffs` in Resample.c).
    fn bilinear(input: u32, output: u32) -> Self {
        let scale = f64::from(input) / f64::from(output);
        let reach = scale.max(1.0);
        let mut taps = Self { runs: Vec::with_capacity(output as usize), weights: Vec::new() };
        for x in 0..output {
            let center = (f64::from(x) + 0.5) * scale;
            let begin = (center - reach + 0.5).max(0.0) as usize;
            let end = ((center + reach + 0.5) as usize).min(input as usize);
            let first = taps.weights.len();
            taps.weights.extend((begin..end).map(|i| {
                // Multiply by 1 / reach instead of dividing, as there: the last bit matters.
                let distance = (i as f64 - center + 0.5) * (1.0 / reach);
                (1.0 - distance.abs()).max(0.0)
            }));
            let sum: f64 = taps.weights[first..].iter().sum();
            if sum != 0.0 {
                taps.weights[first..].iter_mut().for_each(|w| *w /= sum);
            }
            taps.runs.push((begin, first..taps.weights.len()));
        }
        taps
    }
}

/// Operations of a filter pass on a sample.
trait Sample: Copy {
    type Weight: Copy;
    type Sum: Copy;
    /// The initial sum.
    const ZERO: Self::Sum;
    fn weight(normalised: f64) -> Self::Weight;
    fn add(sum: &mut Self::Sum, sample: Self, weight: Self::Weight);
    fn finish(sum: Self::Sum) -> Self;
}

/// Fraction bits of Pillow's integer weights: 32 minus 8 for the sample and 2 for sign and overshoot.
const WEIGHT_BITS: u32 = 32 - 8 - 2;

impl Sample for u8 {
    type Weight = i32;
    type Sum = i32;
    /// A half, so that `finish` rounds.
    const ZERO: i32 = 1 << (WEIGHT_BITS - 1);

    fn weight(normalised: f64) -> i32 {
        (normalised * f64::from(1 << WEIGHT_BITS) + 0.5) as i32
    }
    fn add(sum: &mut i32, sample: u8, weight: i32) {
        *sum += i32::from(sample) * weight;
    }
    fn finish(sum: i32) -> u8 {
        (sum >> WEIGHT_BITS).clamp(0, 255) as u8
    }
}

impl Sample for f32 {
    type Weight = f64;
    type Sum = f64;
    const ZERO: f64 = 0.0;

    fn weight(normalised: f64) -> f64 {
        normalised
    }
    fn add(sum: &mut f64, sample: f32, weight: f64) {
        *sum += f64::from(sample) * weight;
    }
    fn finish(sum: f64) -> f32 {
        sum as f32
    }
}

/// `[rows, from, C]` to `[rows, to, C]`.
fn along_rows<T: Sample, const C: usize>(samples: &[T], from: u32, to: u32) -> Vec<T> {
    let taps = Taps::bilinear(from, to);
    let weights: Vec<T::Weight> = taps.weights.iter().map(|&w| T::weight(w)).collect();
    let stride = from as usize * C;
    let mut out = Vec::with_capacity(samples.len() / stride * to as usize * C);
    for row in samples.chunks_exact(stride) {
        for (begin, run) in &taps.runs {
            let mut sums = [T::ZERO; C];
            let pixels = row[begin * C..].chunks_exact(C);
            for (pixel, &weight) in pixels.zip(&weights[run.clone()]) {
                for (sum, &sample) in sums.iter_mut().zip(pixel) {
                    T::add(sum, sample, weight);
                }
            }
            out.extend(sums.map(T::finish));
        }
    }
    out
}

/// `[from, stride]` to `[to, stride]`.
fn along_columns<T: Sample>(samples: &[T], stride: usize, from: u32, to: u32) -> Vec<T> {
    let taps = Taps::bilinear(from, to);
    let mut out = Vec::with_capacity(to as usize * stride);
    let mut sums = vec![T::ZERO; stride];
    for (begin, run) in taps.runs {
        sums.fill(T::ZERO);
        let rows = samples[begin * stride..].chunks_exact(stride);
        for (row, &weight) in rows.zip(&taps.weights[run]) {
            let weight = T::weight(weight);
            for (sum, &sample) in sums.iter_mut().zip(row) {
                T::add(sum, sample, weight);
            }
        }
        out.extend(sums.iter().map(|&sum| T::finish(sum)));
    }
    out
}

/// Which axis is filtered first. This matters because of rounding between the passes: in a portrait of 480 x 640, a quarter of
/// the samples differ by one level.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Always rows: Pillow up to version 11, which the published numbers were measured with.
    RowsFirst,
    /// Columns if the height shrinks more than twice as much as the width, else rows: Pillow from version 13.
    Pillow13,
}

/// Runs both passes, each only if its size changes. No size may be 0.
fn resize<T: Sample, const C: usize>(samples: &[T], from: (u32, u32), to: (u32, u32), order: Order) -> Vec<T> {
    let lost = |from: u32, to: u32| i64::from(from) - i64::from(to);
    let columns_first = order == Order::Pillow13 && lost(from.1, to.1) > 2 * lost(from.0, to.0).max(0);
    match (from.0 != to.0, from.1 != to.1) {
        (false, false) => samples.to_vec(),
        (true, false) => along_rows::<T, C>(samples, from.0, to.0),
        (false, true) => along_columns(samples, from.0 as usize * C, from.1, to.1),
        (true, true) if columns_first => {
            let shorter = along_columns(samples, from.0 as usize * C, from.1, to.1);
            along_rows::<T, C>(&shorter, from.0, to.0)
        }
        (true, true) => {
            let narrower = along_rows::<T, C>(samples, from.0, to.0);
            along_columns(&narrower, to.0 as usize * C, from.1, to.1)
        }
    }
}

/// Resizes like PIL's `Image.resize((width, height), BILINEAR)` on 8-bit RGB: a triangle filter, widened when
/// shrinking (antialiased), one axis after the other, rounded to 8 bits after each.
///
/// The result equals Pillow 13's in every sample.
pub fn resize_bilinear_rgb(rgb: &RgbImage, width: u32, height: u32) -> RgbImage {
    resize_rgb(rgb, width, height, Order::Pillow13)
}

/// The same with the result of Pillow up to version 11: rows are always filtered first. Published evaluations were
/// measured with this.
pub fn resize_bilinear_rgb_rows_first(rgb: &RgbImage, width: u32, height: u32) -> RgbImage {
    resize_rgb(rgb, width, height, Order::RowsFirst)
}

fn resize_rgb(rgb: &RgbImage, width: u32, height: u32, order: Order) -> RgbImage {
    if rgb.is_empty() || width == 0 || height == 0 {
        return RgbImage::new(width, height);
    }
    if rgb.dimensions() == (width, height) {
        return rgb.clone();
    }
    let samples = resize::<u8, 3>(rgb.as_raw(), rgb.dimensions(), (width, height), order);
    let mut resized = RgbImage::new(width, height);
    resized.copy_from_slice(&samples);
    resized
}

/// Resizes one channel of floats `[height, width]` of size `from` (width, height) to size `to` bilinearly: the
/// filter of [`resize_bilinear_rgb`] without rounding, like PIL's mode "F".
///
/// # Errors
/// [`ImageError::Length`] unless the length of `map` matches `from`.
pub fn resize_map(map: &[f32], from: (u32, u32), to: (u32, u32)) -> Result<Vec<f32>, ImageError> {
    check_length("the map", map.len(), from, 1)?;
    Ok(resize_whole_map(map, from, to))
}

/// [`resize_map`] for a map whose length matches `from`.
pub(super) fn resize_whole_map(map: &[f32], from: (u32, u32), to: (u32, u32)) -> Vec<f32> {
    if map.is_empty() || to.0 == 0 || to.1 == 0 {
        return vec![0.0; to.0 as usize * to.1 as usize];
    }
    resize::<f32, 1>(map, from, to, Order::Pillow13)
}

/// Resizes a mask like torch's `interpolate(mode="nearest")`: the source index is floor(dst * in / out), with
/// in / out rounded to f32 first, as there.
pub fn resize_nearest_mask(mask: &Mask, width: u32, height: u32) -> Mask {
    let (from_width, from_height) = mask.size();
    let source = |from: u32, to: u32| -> Vec<usize> {
        let scale = from as f32 / to as f32;
        (0..to).map(|dst| ((dst as f32 * scale) as usize).min(from.saturating_sub(1) as usize)).collect()
    };
    let columns = source(from_width, width);
    let mut foreground = Vec::with_capacity(width as usize * height as usize);
    for y in source(from_height, height) {
        let begin = y * from_width as usize;
        let row = mask.foreground().get(begin..begin + from_width as usize);
        let row = row.unwrap_or_default();
        // A mask without pixels gives background.
        foreground.extend(columns.iter().map(|&x| row.get(x).copied().unwrap_or(false)));
    }
    Mask::from_parts(width, height, foreground)
}

/// An RGB picture as the VAE's input: `[height, width, 3]`, x / 255 * 2 - 1.
pub fn to_model_input(rgb: &RgbImage) -> Vec<f32> {
    let levels: [f32; 256] = std::array::from_fn(|x| x as f32 / 255.0 * 2.0 - 1.0);
    rgb.as_raw().iter().map(|&x| levels[usize::from(x)]).collect()
}

/// A mask as the VAE's input: `[height, width, 3]`, -1 for background and +1 for foreground.
pub fn mask_to_model_input(mask: &Mask) -> Vec<f32> {
    mask.foreground().iter().flat_map(|&foreground| [if foreground { 1.0 } else { -1.0 }; 3]).collect()
}
