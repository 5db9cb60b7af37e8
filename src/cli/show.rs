//! A result drawn with characters, for terminals without pictures.

use diffews_wgpu::image_io::{Mask, RgbImage, paint_overlay, resize_bilinear_rgb, resize_nearest_mask};
use std::io::IsTerminal;

/// Columns of a drawing.
const COLUMNS: u32 = 64;

/// The mask on its picture in 24-bit colour if stdout is a terminal that supports it, else the mask in
/// plain characters.
pub fn draw(rgb: &RgbImage, mask: &Mask) -> String {
    let truecolor = std::env::var("COLORTERM").is_ok_and(|v| v == "truecolor" || v == "24bit");
    if truecolor && std::io::stdout().is_terminal() {
        return in_colour(rgb, mask).unwrap_or_else(|| plain(mask));
    }
    plain(mask)
}

/// Height for `COLUMNS` columns of square cells.
fn rows((width, height): (u32, u32)) -> u32 {
    (u64::from(height) * u64::from(COLUMNS) / u64::from(width.max(1))).clamp(2, 2 * u64::from(COLUMNS)) as u32
}

/// Two pixels per character: foreground and background of an upper half block.
fn in_colour(rgb: &RgbImage, mask: &Mask) -> Option<String> {
    let rows = rows(rgb.dimensions()).next_multiple_of(2);
    let small = resize_bilinear_rgb(rgb, COLUMNS, rows);
    let painted = paint_overlay(&small, &resize_nearest_mask(mask, COLUMNS, rows)).ok()?;
    let mut text = String::new();
    for y in (0..rows).step_by(2) {
        for x in 0..COLUMNS {
            let ([r, g, b], [s, h, c]) = (painted.get_pixel(x, y).0, painted.get_pixel(x, y + 1).0);
            text.push_str(&format!("\x1b[38;2;{r};{g};{b};48;2;{s};{h};{c}m\u{2580}"));
        }
        text.push_str("\x1b[0m\n");
    }
    text.pop();
    Some(text)
}

/// A cell is twice as high as wide.
fn plain(mask: &Mask) -> String {
    let small = resize_nearest_mask(mask, COLUMNS, rows(mask.size()).div_ceil(2));
    let line = |row: &[bool]| row.iter().map(|&f| if f { '#' } else { '.' }).collect::<String>();
    small.foreground().chunks_exact(COLUMNS as usize).map(line).collect::<Vec<_>>().join("\n")
}
