//! How the masks of the examples are read.

use super::advice::of_mask;
use super::tell;
use clap::Args;
use diffews_wgpu::image_io::{MaskReading, MaskSource, MaskWarning};

#[derive(Args)]
#[command(next_help_heading = "Masks")]
pub struct MaskFileArgs {
    /// Find this label number in all masks: a grey value or palette index, as the file stores it
    #[arg(long, visible_alias = "value", value_name = "K", group = "mask_source")]
    mask_value: Option<u16>,
    /// Find this colour in all masks (also as #rrggbb); within 32 levels per channel in JPEG and lossy WebP
    #[arg(long, value_name = "R,G,B", value_parser = color, group = "mask_source")]
    mask_color: Option<[u8; 3]>,
    /// Find the opaque pixels of all masks (alpha >= 50 %), whatever their colour
    #[arg(long, group = "mask_source")]
    mask_alpha: bool,
    /// Find the background of all masks instead
    #[arg(long)]
    invert_mask: bool,
}

impl MaskFileArgs {
    /// Whether any of these flags was given.
    pub fn is_given(&self) -> bool {
        self.reading() != MaskReading::default()
    }

    pub fn reading(&self) -> MaskReading {
        let source = match (self.mask_value, self.mask_color, self.mask_alpha) {
            (Some(number), ..) => MaskSource::Value(number),
            (_, Some(color), _) => MaskSource::Color(color),
            (.., true) => MaskSource::Alpha,
            _ => MaskSource::Auto,
        };
        MaskReading { source, invert: self.invert_mask }
    }
}

/// Prints a mask's warnings, and unless `quiet` its notes.
pub fn print_mask_warnings(mask: &str, warnings: &[MaskWarning], quiet: bool) {
    for said in warnings {
        match said.is_note() {
            true if quiet => {}
            true => tell(&format!("note: {mask}: {said}{}", of_mask(said))),
            false => tell(&format!("warning: {mask}: {said}{}", of_mask(said))),
        }
    }
}

/// `R,G,B` or `#rrggbb`.
fn color(text: &str) -> Result<[u8; 3], String> {
    let hex =
        text.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_hexdigit()));
    let color = match hex {
        Some(digits) => u32::from_str_radix(digits, 16).ok().map(|n| [(n >> 16) as u8, (n >> 8) as u8, n as u8]),
        None => {
            let parts: Option<Vec<u8>> = text.split(',').map(|part| part.trim().parse::<u8>().ok()).collect();
            parts.and_then(|parts| parts.try_into().ok())
        }
    };
    color.ok_or_else(|| "it must be R,G,B of 0 to 255 each (200,171,44) or #rrggbb (#c8ab2c)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours() {
        assert_eq!(color("200,171,44"), Ok([200, 171, 44]));
        assert_eq!(color("0, 0, 255"), Ok([0, 0, 255]));
        assert_eq!(color("#C8ab2c"), Ok([200, 171, 44]));
        for bad in ["", "red", "1,2", "1,2,3,4", "256,0,0", "-1,0,0", "#c8ab2", "#+12345", "c8ab2c"] {
            assert!(color(bad).is_err(), "{bad}");
        }
    }
}
