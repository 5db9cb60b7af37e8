// How four neighbouring channels of a value lie in memory, and how four columns of a weight do.
// Arithmetic is f32 whatever the storage.
#ifdef PACKED
alias Stored = vec2<u32>;
fn unpack4(v: Stored) -> vec4<f32> { return vec4(unpack2x16float(v.x), unpack2x16float(v.y)); }
// What a half cannot hold becomes infinite or NaN, which the host looks for: WGSL lets a driver write any number, and those
// that round towards zero write 65504.
fn pack4(v: vec4<f32>) -> Stored {
    let over = select(vec4(0u), vec4(0x7c00u), abs(v) >= vec4(65520.0));
    return vec2(pack2x16float(v.xy), pack2x16float(v.zw)) | over.xz | (over.yw << vec2(16u));
}
#else
#ifdef F16
alias Stored = vec4<f16>;
fn unpack4(v: Stored) -> vec4<f32> { return vec4<f32>(v); }
fn pack4(v: vec4<f32>) -> Stored { return vec4<f16>(select(v, v * 3e38, abs(v) >= vec4(65520.0))); }  // as above
#else
alias Stored = vec4<f32>;
fn unpack4(v: Stored) -> vec4<f32> { return v; }
fn pack4(v: vec4<f32>) -> Stored { return v; }
#endif
#endif

#ifdef PACKED_WEIGHTS
alias StoredWeight = vec2<u32>;
fn unpack_weight(v: StoredWeight) -> vec4<f32> { return vec4(unpack2x16float(v.x), unpack2x16float(v.y)); }
#else
#ifdef F16_WEIGHTS
alias StoredWeight = vec4<f16>;
fn unpack_weight(v: StoredWeight) -> vec4<f32> { return vec4<f32>(v); }
#else
alias StoredWeight = vec4<f32>;
fn unpack_weight(v: StoredWeight) -> vec4<f32> { return v; }
#endif
#endif
