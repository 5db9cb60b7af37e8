//! Resizing, compared with Pillow's and PyTorch's results in `tests/golden/resize`.

use crate::bed::{cases, golden, number, text};
use diffews_wgpu::image_io::*;
use image::Rgb;

#[test]
fn bilinear_resize_equals_both_pillows_in_every_sample() {
    let mut orders = 0;
    for case in cases("resize") {
        let input = load_rgb(&golden("resize").join(text(&case, "input"))).unwrap();
        let want = load_rgb(&golden("resize").join(text(&case, "output"))).unwrap();
        let got = resize_bilinear_rgb(&input, number(&case, "width"), number(&case, "height"));
        assert_eq!(got.dimensions(), want.dimensions(), "{case}");
        let differing = got.iter().zip(want.iter()).filter(|(a, b)| a != b).count();
        assert_eq!(differing, 0, "{case}: {differing} of {} samples", want.len());
        let older = load_rgb(&golden("resize").join(text(&case, "rows_first"))).unwrap();
        let rows_first = resize_bilinear_rgb_rows_first(&input, number(&case, "width"), number(&case, "height"));
        assert_eq!(rows_first, older, "{case}");
        // The fixtures distinguish the two orders of passes, which differ by at most one level.
        orders += usize::from(older != want);
        assert!(older.iter().zip(want.iter()).all(|(a, b)| a.abs_diff(*b) <= 1), "{case}");
        // The float resize is the same filter. The two differ by at most the two roundings of the byte version; the second one acts on sums
        // of samples that the first has moved by up to a half.
        for channel in 0..3 {
            let map: Vec<f32> = input.chunks_exact(3).map(|p| f32::from(p[channel])).collect();
            let smooth = resize_map(&map, input.dimensions(), want.dimensions()).unwrap();
            for (value, pixel) in smooth.iter().zip(want.chunks_exact(3)) {
                let off = (value - f32::from(pixel[channel])).abs();
                assert!(off <= 1.01, "{case}: {value} against {}", pixel[channel]);
            }
        }
    }
    assert_eq!(orders, 3);
}

#[test]
fn resizes_of_degenerate_sizes_give_what_they_can() {
    let one = RgbImage::from_pixel(1, 1, Rgb([3, 200, 77]));
    assert!(resize_bilinear_rgb(&one, 9, 4).chunks_exact(3).all(|p| p == [3, 200, 77]));
    assert_eq!(resize_bilinear_rgb(&one, 0, 4).dimensions(), (0, 4));
    assert_eq!(resize_bilinear_rgb(&RgbImage::new(0, 0), 2, 2).as_raw(), &[0; 12]);
    assert_eq!(resize_map(&[0.5], (1, 1), (2, 3)).unwrap(), [0.5; 6]);
    assert_eq!(resize_map(&[], (0, 5), (1, 1)).unwrap(), [0.0]);
    assert!(resize_map(&[0.5; 3], (2, 2), (2, 2)).is_err());
    let none = Mask::new(0, 0, vec![]).unwrap();
    assert_eq!(resize_nearest_mask(&none, 2, 1).foreground(), [false; 2]);
}

#[test]
fn float_resize_is_the_antialiased_triangle() {
    // Halving: each output is centred between two inputs and reaches two to each side, with weights 1 3 3 1 (of 8), and 3 3 1 (of 7) at the
    // border.
    let map = [8.0, 0.0, 16.0, 0.0, 0.0, 4.0];
    let got = resize_map(&map, (6, 1), (3, 1)).unwrap();
    let want = [40.0 / 7.0, 48.0 / 8.0, 12.0 / 7.0];
    for (got, want) in got.iter().zip(want) {
        // The weights and sums are f64; one rounding to f32 remains per pass.
        let off = (got - want).abs();
        assert!(off <= 2.0 * f32::EPSILON * want, "{got} against {want}");
    }
    // Doubling: linear interpolation at the quarters, constant beyond the outermost centres.
    let got = resize_map(&[0.0, 4.0], (1, 2), (1, 4)).unwrap();
    assert_eq!(got, [0.0, 1.0, 3.0, 4.0]);
}

#[test]
fn nearest_follows_torchs_index_rule() {
    let indices = |from: u32, to: u32| -> Vec<usize> {
        // Find each output's source by lighting one input at a time.
        let mut found = vec![usize::MAX; to as usize];
        for lit in 0..from as usize {
            let foreground = (0..from as usize).map(|i| i == lit).collect();
            let line = Mask::new(from, 1, foreground).unwrap();
            let out = resize_nearest_mask(&line, to, 1);
            let column = Mask::new(1, from, line.foreground().to_vec()).unwrap();
            let turned = resize_nearest_mask(&column, 1, to);
            assert_eq!(out.foreground(), turned.foreground());
            out.foreground().iter().enumerate().filter(|(_, f)| **f).for_each(|(at, _)| found[at] = lit);
        }
        found
    };
    assert_eq!(indices(3, 7), [0, 0, 0, 1, 1, 2, 2]);
    assert_eq!(indices(7, 3), [0, 2, 4]);
    assert_eq!(indices(4, 4), [0, 1, 2, 3]);
    assert_eq!(indices(2, 4), [0, 0, 1, 1]);
    // torch multiplies by the f32 nearest to in / out: here 109 * 2 / 218 is slightly below the correct 1.
    assert_eq!((indices(2, 218)[109], indices(2, 218)[110]), (0, 1));
    let both = Mask::new(2, 2, vec![true, false, false, true]).unwrap();
    let wide = resize_nearest_mask(&both, 4, 2);
    assert_eq!(wide.foreground(), [true, true, false, false, false, false, true, true]);
}

#[test]
fn model_inputs_span_minus_one_to_one() {
    let rgb = RgbImage::from_raw(2, 1, vec![0, 255, 51, 1, 128, 254]).unwrap();
    let want = [-1.0, 1.0, -0.6, 1.0 / 127.5 - 1.0, 128.0 / 127.5 - 1.0, 254.0 / 127.5 - 1.0_f32];
    for (got, want) in to_model_input(&rgb).iter().zip(want) {
        // Three roundings of values of at most 2.
        assert!((got - want).abs() <= 3.0 * f32::EPSILON, "{got} against {want}");
    }
    let mask = Mask::new(2, 1, vec![true, false]).unwrap();
    assert_eq!(mask_to_model_input(&mask), [1.0, 1.0, 1.0, -1.0, -1.0, -1.0]);
}
