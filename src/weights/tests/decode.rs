//! Decoding, and what a scope reports.

use super::*;

#[test]
fn decodes_every_float_type_exactly() {
    // Zero, subnormal, one, largest finite, infinity, negative; for each half type by its bits.
    let f16_bits: [u16; 6] = [0x0000, 0x0001, 0x3c00, 0x7bff, 0x7c00, 0xc100];
    let f16_values = [0.0, 2f32.powi(-24), 1.0, 65504.0, f32::INFINITY, -2.5];
    let bf16_bits: [u16; 6] = [0x0000, 0x0001, 0x3f80, 0x7f7f, 0xff80, 0xc020];
    let bf16_values = bf16_bits.map(|b| f32::from_bits(u32::from(b) << 16));
    let f64_values = [0.1f64, -1.0e-300, 3.5];
    let bytes16 = |bits: [u16; 6]| bits.iter().flat_map(|b| b.to_le_bytes()).collect::<Vec<u8>>();
    let (half, brain) = (bytes16(f16_bits), bytes16(bf16_bits));
    let double: Vec<u8> = f64_values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let single = f32s(&[1.5, -0.0, f32::MIN_POSITIVE]);
    let bytes = file_of(&[
        ("h", Dtype::F16, &[2, 3], &half),
        ("b", Dtype::BF16, &[6], &brain),
        ("d", Dtype::F64, &[3], &double),
        ("s", Dtype::F32, &[3], &single),
    ]);
    // One byte further on: tensors in a file have no alignment that could be relied on.
    for shift in 0..2 {
        let kept: &'static [u8] = Vec::leak([vec![0; shift], bytes.clone()].concat());
        let w = Weights::from_bytes("ok", &kept[shift..]).unwrap();
        let read = |name: &str, shape: &[usize]| w.root().tensor(name, shape).to_f32().unwrap();
        assert_eq!(read("h", &[2, 3]), f16_values);
        assert_eq!(read("b", &[6]), bf16_values);
        assert_eq!(read("d", &[3]), [0.1f32, -0.0, 3.5]);
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<u32>>();
        assert_eq!(bits(&read("s", &[3])), bits(&[1.5, -0.0, f32::MIN_POSITIVE]));
        assert!(w.finish().unwrap().unused.is_empty());
    }
}

#[test]
fn all_65536_halves_decode_as_one_by_one() {
    let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    let w = Weights::from_bytes(
        "all",
        file_of(&[("h", Dtype::F16, &[65536], &bytes), ("b", Dtype::BF16, &[65536], &bytes)]),
    );
    let root = w.unwrap().root();
    let (h, b) = (root.tensor("h", &[65536]).to_f32().unwrap(), root.tensor("b", &[65536]).to_f32().unwrap());
    for bits in 0..=u16::MAX {
        let (sign, exp, frac) = (bits >> 15, i32::from(bits >> 10 & 31), f64::from(bits & 1023));
        let magnitude = match exp {
            0 => frac * 2f64.powi(-24),
            31 if frac == 0.0 => f64::INFINITY,
            31 => f64::NAN,
            _ => (1.0 + frac / 1024.0) * 2f64.powi(exp - 15),
        };
        let expected = if sign == 1 { -magnitude } else { magnitude } as f32;
        let got = h[usize::from(bits)];
        assert!(got == expected || (got.is_nan() && expected.is_nan()), "{bits:#x}: {got} {expected}");
        let (got, expected) = (b[usize::from(bits)], f32::from_bits(u32::from(bits) << 16));
        assert!(got == expected || (got.is_nan() && expected.is_nan()), "{bits:#x}: {got} {expected}");
    }
}

#[test]
fn eight_bits_are_read_with_their_scales() {
    // 66 inputs: a block of 64, and one of 2.
    let numbers: Vec<u8> = (0..2 * 66).map(|i| (i - 66_i32) as i8 as u8).collect();
    let scales = f32s(&[1.0, 0.5, 2.0, -4.0]);
    let with = |numbers: (Dtype, &[usize], &[u8]), scales: (&str, Dtype, &[usize], &[u8])| {
        let bytes = file_of(&[("w", numbers.0, numbers.1, numbers.2), (scales.0, scales.1, scales.2, scales.3)]);
        Weights::from_bytes("eight.safetensors", bytes).unwrap()
    };
    let own = (Dtype::I8, &[2, 66][..], &numbers[..]);
    let w = with(own, ("w.scales", Dtype::F32, &[2, 2], &scales));
    assert!(w.has_eight_bits() && w.names() == ["w"] && w.count() == (1, 132));
    let view = w.root().tensor("w", &[2, 66]);
    let expected: Vec<f32> =
        (0..132).map(|i| (i as f32 - 66.0) * [1.0, 0.5, 2.0, -4.0][i / 66 * 2 + i % 66 / 64]).collect();
    assert_eq!(view.to_f32().unwrap(), expected);
    assert_eq!(view.to_f32_range(60..70).unwrap(), expected[60..70]);
    assert!(w.finish().unwrap().unused.is_empty());
    // They count to what a model is known by.
    let walked = |w: &Weights| {
        let mut all = Vec::new();
        w.walk(&mut all, |_, _, _, _| {}, |all, bytes| all.extend_from_slice(bytes)).unwrap();
        all
    };
    assert_eq!(walked(&w), [&numbers[..], &scales].concat());
    // Scales of another name, type or shape are none, and what has none is not read.
    let halves = [0; 8];
    for (scales, own) in [
        (("v.scales", Dtype::F32, &[2, 2][..], &scales[..]), own),
        (("w.scales", Dtype::F16, &[2, 2], &halves), own),
        (("w.scales", Dtype::F32, &[4], &scales), own),
        (("w.scales", Dtype::F32, &[2, 2], &scales), (Dtype::I8, &[132][..], &numbers[..])),
        (("w.scales", Dtype::F32, &[2, 2], &scales), (Dtype::U8, &[2, 66], &numbers)),
    ] {
        let w = with(own, scales);
        assert!(w.look("w").is_none() && !w.has_eight_bits());
        w.root().tensor("w", &[2, 66]);
        assert!(message(w.finish()).contains("I8 with its scales") || own.0 == Dtype::U8);
    }
}

#[test]
fn ranges_are_checked() {
    let w = Weights::from_bytes("r", file_of(&[("t", Dtype::F32, &[4], &f32s(&[0.0, 1.0, 2.0, 3.0]))])).unwrap();
    let t = w.root().tensor("t", &[4]);
    assert_eq!(t.to_f32_range(1..3).unwrap(), [1.0, 2.0]);
    assert!(t.to_f32_range(4..4).unwrap().is_empty());
    for (start, end) in [(3, 5), (5, 5), (0, usize::MAX), (3, 2)] {
        assert!(matches!(t.to_f32_range(start..end), Err(WeightsError::Range { len: 4, .. })));
    }
}

#[test]
fn scope_names_every_missing_mismatched_and_unused_tensor() {
    let one = f32s(&[1.0]);
    let bytes = file_of(&[
        ("a.0.weight", Dtype::F32, &[1, 1], &one),
        ("a.0.bias", Dtype::F32, &[1], &one),
        ("ids", Dtype::I32, &[1], &[0; 4]),
        ("extra", Dtype::F32, &[1], &one),
        ("old.query.weight", Dtype::F32, &[1], &one),
    ]);
    let w = Weights::from_bytes("m.safetensors", bytes).unwrap();
    let a = w.root().pp("a").pp(0);
    assert_eq!(a.path(), "a.0");
    assert!(a.has("bias") && !a.has("nothing"));
    let good = a.tensor_any("weight", &[&[1], &[1, 1]]);
    assert_eq!((good.shape(), good.to_f32().unwrap()), (&[1, 1][..], vec![1.0]));
    assert_eq!(w.root().pp("old").pp_any(&["to_q", "query"]).path(), "old.query");
    assert_eq!(w.root().pp("old").pp_any(&["to_k", "key"]).path(), "old.to_k");
    assert_eq!(w.finish().unwrap().unused, ["a.0.bias", "extra", "ids", "old.query.weight"]);

    let missing = a.tensor("norm.weight", &[7]);
    let other = a.tensor("bias", &[2]);
    w.root().tensor("ids", &[1]);
    w.root().tensor("lost", &[3, 4]);
    assert_eq!((missing.shape(), other.shape(), missing.len()), (&[7][..], &[2][..], 7));
    assert!(matches!(missing.to_f32(), Err(WeightsError::Placeholder { .. })));
    assert!(matches!(other.to_f32(), Err(WeightsError::Placeholder { .. })));
    let text = message(w.finish());
    for part in [
        "m.safetensors",
        "4 tensor(s)",
        "`a.0.norm.weight` [7]",
        "`a.0.bias` is [1]",
        "asks for [2]",
        "`ids` is I32",
        "`lost` [3, 4]",
    ] {
        assert!(text.contains(part), "{part} not in: {text}");
    }
    assert_eq!(w.unused(), ["extra", "old.query.weight"]);
}
