//! The files on disk after a write.

use crate::bed::{message, names, picture};
use diffews_wgpu::image_io::*;
use std::fs;
use std::path::Path;

#[test]
fn written_files_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let mask = Mask::new(3, 2, vec![true, false, true, false, false, true]).unwrap();
    write_mask(&at("mask.png"), &mask, false).unwrap();
    assert_eq!(load_mask(&at("mask.png"), (3, 2)).unwrap(), LoadedMask { mask: mask.clone(), warnings: vec![] });
    let levels = image::open(at("mask.png")).unwrap();
    assert_eq!(levels.color(), image::ColorType::L8);
    assert_eq!(levels.into_luma8().as_raw(), &[255, 0, 255, 0, 0, 255]);

    let rgb = picture(3, 2);
    write_overlay(&at("overlay.png"), &rgb, &mask, false).unwrap();
    assert_eq!(load_rgb(&at("overlay.png")).unwrap(), paint_overlay(&rgb, &mask).unwrap());
    assert_ne!(paint_overlay(&rgb, &mask).unwrap(), rgb);

    let map = [0.0, 1.0, 0.5, 0.25, 1.0 / 65535.0, 0.75];
    write_probability_png(&at("p.png"), &map, (3, 2), false).unwrap();
    let levels = image::open(at("p.png")).unwrap();
    assert_eq!(levels.color(), image::ColorType::L16);
    assert_eq!(levels.into_luma16().as_raw(), &[0, 65535, 32768, 16384, 1, 49151]);

    write_probability_npy(&at("p.npy"), &map, (3, 2), false).unwrap();
    let bytes = fs::read(at("p.npy")).unwrap();
    assert_eq!(&bytes[..10], b"\x93NUMPY\x01\x00\x76\x00");
    let header = std::str::from_utf8(&bytes[10..128]).unwrap();
    assert_eq!(header.trim_end(), "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }");
    assert!(header.ends_with(" \n"));
    let values: Vec<f32> = bytes[128..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!(values, map);
    assert_eq!(names(directory.path()), ["mask.png", "overlay.png", "p.npy", "p.png"]);
}

#[test]
fn maps_that_are_none_are_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let (png, npy) = (directory.path().join("p.png"), directory.path().join("p.npy"));
    for map in [[0.5, f32::NAN], [f32::INFINITY, 0.5]] {
        assert!(matches!(write_probability_png(&png, &map, (2, 1), true), Err(ImageError::NotFinite { count: 1, .. })));
        assert!(matches!(write_probability_npy(&npy, &map, (2, 1), true), Err(ImageError::NotFinite { count: 1, .. })));
    }
    assert!(matches!(write_probability_png(&png, &[0.5], (2, 1), true), Err(ImageError::Length { .. })));
    assert!(matches!(write_probability_npy(&npy, &[0.5], (2, 1), true), Err(ImageError::Length { .. })));
    assert!(names(directory.path()).is_empty());
}

#[test]
fn nothing_is_overwritten_without_force() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mask.png");
    let mask = Mask::new(1, 1, vec![true]).unwrap();
    fs::write(&path, "precious").unwrap();
    let text = message(write_mask(&path, &mask, false), &path);
    assert!(text.contains("exists already"), "{text}");
    assert_eq!(message(check_output(&path, "png", false), &path), text);
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    check_output(&path, "png", true).unwrap();
    write_mask(&path, &mask, true).unwrap();
    assert_eq!(load_mask(&path, (1, 1)).unwrap().mask, mask);
    assert_eq!(names(directory.path()), ["mask.png"]);
}

#[test]
fn places_that_cannot_be_written_are_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let mask = Mask::new(1, 1, vec![true]).unwrap();
    let refuse = |path: &Path, part: &str| {
        for force in [false, true] {
            let text = message(write_mask(path, &mask, force), path);
            assert!(text.contains(part), "{text}");
        }
    };
    let folder = directory.path().join("folder.png");
    fs::create_dir(&folder).unwrap();
    refuse(&folder, "is a directory");
    refuse(&directory.path().join("absent/mask.png"), "is not a directory; create it");
    let file = directory.path().join("file");
    fs::write(&file, "x").unwrap();
    refuse(&file.join("mask.png"), "is not a directory");
    refuse(&directory.path().join("mask.jpg"), "ends in .png");
    refuse(&directory.path().join("mask"), "ends in .png");
    let map = directory.path().join("map.png");
    assert!(message(check_output(&map, "npy", true), &map).contains("ends in .npy"));
    assert!(message(write_probability_npy(&map, &[0.5], (1, 1), true), &map).contains("ends in .npy"));
    assert_eq!(names(directory.path()), ["file", "folder.png"]);
    assert!(names(&folder).is_empty());
}

#[cfg(unix)]
#[test]
fn written_files_have_the_mode_of_ordinary_ones_and_follow_links() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let mask = Mask::new(1, 1, vec![true]).unwrap();
    fs::write(at("ordinary"), "x").unwrap();
    write_mask(&at("mask.png"), &mask, false).unwrap();
    let mode = |name: &str| fs::metadata(at(name)).unwrap().permissions().mode();
    assert_eq!(mode("mask.png"), mode("ordinary"));

    // Writing through a link replaces its target and keeps the link.
    fs::create_dir(at("elsewhere")).unwrap();
    fs::write(at("elsewhere/real.png"), "old").unwrap();
    symlink(at("elsewhere/real.png"), at("link.png")).unwrap();
    write_mask(&at("link.png"), &mask, true).unwrap();
    assert!(at("link.png").is_symlink());
    assert_eq!(load_mask(&at("elsewhere/real.png"), (1, 1)).unwrap().mask, mask);
    // A dangling link, and a device.
    symlink(at("nowhere"), at("dangling.png")).unwrap();
    assert!(message(write_mask(&at("dangling.png"), &mask, true), &at("dangling.png")).contains("ordinary file"));
    symlink("/dev/null", at("device.png")).unwrap();
    assert!(message(check_output(&at("device.png"), "png", true), &at("device.png")).contains("ordinary file"));
    assert_eq!(names(&at("elsewhere")), ["real.png"]);
}
