//! Conversion from colour profiles to sRGB.

use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

use crate::panics::caught;

/// Largest profile, in bytes; printers' profiles have about a megabyte.
const MAX_PROFILE_BYTES: usize = 1 << 24;

/// Converts `[n, channels]` colours with their profile to `[n, 3]` of sRGB. Channels: 1 grey, 3 RGB, 4 inks. `None` if the profile is
/// sRGB within a level, as most are.
///
/// # Errors
/// What is wrong with the profile. Profiles are untrusted; a panic over one becomes an error.
pub(super) fn to_srgb(icc: &[u8], colours: &[u8], channels: usize) -> Result<Option<Vec<u8>>, String> {
    caught(|| convert(icc, colours, channels)).unwrap_or_else(|reason| Err(reason.to_string()))
}

fn convert(icc: &[u8], colours: &[u8], channels: usize) -> Result<Option<Vec<u8>>, String> {
    if icc.len() > MAX_PROFILE_BYTES {
        return Err(format!("it has {} bytes", icc.len()));
    }
    let failed = |e: moxcms::CmsError| e.to_string();
    let profile = ColorProfile::new_from_slice(icc).map_err(failed)?;
    let layout = match (channels, profile.color_space) {
        (1, DataColorSpace::Gray) => Layout::Gray,
        (3, DataColorSpace::Rgb) => Layout::Rgb,
        (4, DataColorSpace::Cmyk) => Layout::Rgba,
        (_, other) => return Err(format!("it is for {other:?}, which is not the picture's colour space")),
    };
    let srgb = ColorProfile::new_srgb();
    let transform =
        profile.create_transform_8bit(layout, &srgb, Layout::Rgb, TransformOptions::default()).map_err(failed)?;
    if channels < 4 {
        let probe = probe(channels);
        let mut changed = vec![0; probe.len() / channels * 3];
        transform.transform(&probe, &mut changed).map_err(failed)?;
        let same = |(rgb, own): (&[u8], &[u8])| rgb.iter().zip(own.iter().cycle()).all(|(a, b)| a.abs_diff(*b) <= 1);
        if changed.chunks_exact(3).zip(probe.chunks_exact(channels)).all(same) {
            return Ok(None);
        }
    }
    let mut rgb = vec![0; colours.len() / channels * 3];
    transform.transform(colours, &mut rgb).map_err(failed)?;
    Ok(Some(rgb))
}

/// Colours across the RGB cube, or all levels of grey.
fn probe(channels: usize) -> Vec<u8> {
    if channels == 1 {
        return (0..=255).collect();
    }
    let levels = || (0..=255_u8).step_by(15);
    levels().flat_map(|r| levels().flat_map(move |g| levels().flat_map(move |b| [r, g, b]))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// sRGB's transfer curve: levels to linear light.
    fn light(level: u8) -> f64 {
        let v = f64::from(level) / 255.0;
        if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
    }

    fn level(light: f64) -> f64 {
        let v = light.clamp(0.0, 1.0);
        255.0 * if v <= 0.0031308 { v * 12.92 } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 }
    }

    fn colours() -> Vec<u8> {
        (0..300_u32).flat_map(|i| [i * 7 % 256, i * 13 % 256, i * 29 % 256].map(|v| v as u8)).collect()
    }

    #[test]
    fn srgb_changes_nothing() {
        let icc = ColorProfile::new_srgb().encode().unwrap();
        assert_eq!(to_srgb(&icc, &colours(), 3), Ok(None));
    }

    #[test]
    fn display_p3_becomes_srgb() {
        let icc = ColorProfile::new_display_p3().encode().unwrap();
        let got = to_srgb(&icc, &colours(), 3).unwrap().unwrap();
        // Display P3 has sRGB's curve and other primaries; this is the product of the two published matrices.
        let matrix = [[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]];
        for (rgb, own) in got.chunks_exact(3).zip(colours().chunks_exact(3)) {
            for (value, row) in rgb.iter().zip(matrix) {
                let want = level(row.iter().zip(own).map(|(m, &v)| m * light(v)).sum());
                assert!((f64::from(*value) - want).abs() <= 2.0, "{own:?}: {rgb:?}, {want} wanted");
            }
        }
    }

    #[test]
    fn grey_by_a_curve() {
        let icc = ColorProfile::new_gray_with_gamma(1.0).encode().unwrap();
        let got = to_srgb(&icc, &[0, 64, 255], 1).unwrap().unwrap();
        let want = level(64.0 / 255.0).round() as u8;
        assert_eq!(got.len(), 9);
        for (value, want) in got.iter().zip([0, 0, 0, want, want, want, 255, 255, 255]) {
            assert!(value.abs_diff(want) <= 2, "{got:?}");
        }
    }

    #[test]
    fn damaged_and_foreign_profiles_are_told() {
        let icc = ColorProfile::new_display_p3().encode().unwrap();
        assert!(to_srgb(b"no profile", &[0; 3], 3).is_err());
        assert!(to_srgb(&icc[..200], &[0; 3], 3).is_err());
        let told = to_srgb(&icc, &[0; 4], 4).unwrap_err();
        assert!(told.contains("Rgb") && told.lines().count() == 1, "{told}");
        // Any byte gives a picture or an error.
        for at in 0..icc.len() {
            let mut damaged = icc.clone();
            damaged[at] ^= 0xff;
            let _ = to_srgb(&damaged, &[1, 2, 3], 3);
        }
    }
}
