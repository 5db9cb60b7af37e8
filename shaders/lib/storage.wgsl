// Storage of four adjacent channels of a value, and of four columns of a weight. A `Pair` is half of a `Stored`. Arithmetic is f32 for
// every storage.
#ifdef PACKED
alias Stored = vec2<u32>;
alias Pair = u32;
fn unpack2(v: Pair) -> vec2<f32> { return unpack2x16float(v); }
fn unpack4(v: Stored) -> vec4<f32> { return vec4(unpack2x16float(v.x), unpack2x16float(v.y)); }
// Values that overflow f16 become infinite or NaN, which the host checks for. WGSL lets a driver write any number instead, and those that
// round towards zero write 65504.
fn pack2(v: vec2<f32>) -> Pair {
    let over = select(vec2(0u), vec2(0x7c00u), abs(v) >= vec2(65520.0));
    return pack2x16float(v) | over.x | (over.y << 16u);
}
fn pack4(v: vec4<f32>) -> Stored { return vec2(pack2(v.xy), pack2(v.zw)); }
#else
#ifdef F16
alias Stored = vec4<f16>;
alias Pair = vec2<f16>;
fn unpack2(v: Pair) -> vec2<f32> { return vec2<f32>(v); }
fn unpack4(v: Stored) -> vec4<f32> { return vec4<f32>(v); }
fn pack4(v: vec4<f32>) -> Stored { return vec4<f16>(select(v, v * 3e38, abs(v) >= vec4(65520.0))); }  // as above
fn pack2(v: vec2<f32>) -> Pair { return vec2<f16>(select(v, v * 3e38, abs(v) >= vec2(65520.0))); }
#else
alias Stored = vec4<f32>;
alias Pair = vec2<f32>;
fn unpack2(v: Pair) -> vec2<f32> { return v; }
fn pack2(v: vec2<f32>) -> Pair { return v; }
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
