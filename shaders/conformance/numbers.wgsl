// One WGSL function or operator on vectors of operands: tests whether it has the accuracy that the specification requires.
#import "lib/storage"

struct Params { n: u32, groups_x: u32 }

#ifdef UNPACK
@group(0) @binding(0) var<storage, read> input: array<Stored>;           // [n, 4]
#else
@group(0) @binding(0) var<storage, read> input: array<vec4<f32>>;        // [n, 4]
#endif
#ifdef PACK
@group(0) @binding(1) var<storage, read_write> output: array<Stored>;    // [n, 4]
#else
@group(0) @binding(1) var<storage, read_write> output: array<vec4<f32>>; // [n, 4]
#endif
@group(1) @binding(0) var<uniform> p: Params;

// Outputs integers as two 16-bit numbers, which f32 holds exactly.
fn words(a: u32, b: u32) -> vec4<f32> {
    return vec4<f32>(vec4(a >> 16u, a & 0xffffu, b >> 16u, b & 0xffffu));
}

// Replaces infinity and NaN by numbers that can be compared. Recognizes them by their bits, because a compiler may assume that no float is
// infinite or NaN.
fn visible(v: vec4<f32>) -> vec4<f32> {
    let special = (bitcast<vec4<u32>>(v) & vec4(0x7f800000u)) == vec4(0x7f800000u);
    return select(v, vec4(1e30), special);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (wg.x + wg.y * p.groups_x) * 64u + lane;
    if i >= p.n { return; }
    let x = input[i];
#ifdef EXP
    output[i] = exp(x);
#endif
#ifdef EXP2
    output[i] = exp2(x);
#endif
#ifdef TANH
    output[i] = tanh(x);
#endif
#ifdef SQRT
    output[i] = sqrt(x);
#endif
#ifdef INVERSE_SQRT
    output[i] = inverseSqrt(x);
#endif
#ifdef DIVIDE
    output[i] = x / x.yzwx;
#endif
#ifdef MULTIPLY_ADD
    output[i] = x * x.yzwx + x.zwxy;
#endif
#ifdef DOT
    output[i] = vec4(dot(x, x.yzwx), dot(x.xyz, x.zwx), dot(x.xy, x.wz), dot(x, x));
#endif
#ifdef EXACT
    // Signs, minimum, maximum, magnitudes, clamping, and selection by comparison: none of them rounds.
    let y = x.yzwx;
    output[7u * i] = sign(x);
    output[7u * i + 1u] = min(x, y);
    output[7u * i + 2u] = max(x, y);
    output[7u * i + 3u] = select(x, -y, x < y);
    output[7u * i + 4u] = abs(x);
    output[7u * i + 5u] = clamp(x, vec4(-1.0), vec4(2.0));
    let no = vec4(0.0);
    output[7u * i + 6u] = select(no, vec4(1.0), x < y) + select(no, vec4(2.0), x <= y) + select(no, vec4(4.0), x == y)
        + select(no, vec4(8.0), x >= y) + select(no, vec4(16.0), x > y);
#endif
#ifdef BOUNDS
    let u = bitcast<vec4<u32>>(x);
    output[i] = words(min(u.x, u.y), max(u.x, u.y));
#endif
#ifdef ORDER
    let u = bitcast<vec4<u32>>(x);
    let s = bitcast<vec4<i32>>(x);
    output[i] = words(select(u.x, u.y + 1u, u.x < u.y), select(u.x, 7u, s.x < s.y) + select(0u, 1u, u.x == u.y));
#endif
#ifdef CONVERT
    let u = bitcast<vec4<u32>>(x);
    output[i] = vec4(f32(u.x), f32(u.y), f32(bitcast<i32>(u.x)), f32(bitcast<i32>(u.y)));
#endif
#ifdef UNSIGNED
    let u = bitcast<vec4<u32>>(x);
    output[i] = words(u.x / u.y, u.x % u.y);
#endif
#ifdef SIGNED
    let s = bitcast<vec4<i32>>(x);
    output[i] = words(bitcast<u32>(s.x / s.y), bitcast<u32>(s.x >> 3u));
#endif
#ifdef REMAINDER
    let s = bitcast<vec4<i32>>(x);
    let r = s.x % s.y;
    output[i] = words(bitcast<u32>(r), bitcast<u32>(-r));
#endif
#ifdef WRAPPING
    let u = bitcast<vec4<u32>>(x);
    output[i] = words(u.x * u.y, u.x - u.y);
#endif
#ifdef SHIFTS
    let u = bitcast<vec4<u32>>(x);
    output[i] = words(u.x << (u.y % 32u), u.x >> (u.y % 32u));
#endif
#ifdef UNPACK
    output[i] = visible(unpack4(x));
#endif
#ifdef PACK
    output[i] = pack4(x);
#endif
#ifdef REPACK
    output[i] = visible(unpack4(pack4(x)));
#endif
#ifdef OVERFLOW
    // 1 where a value that is too large for f16, infinite or NaN is infinite or NaN afterwards.
    output[i] = select(vec4(0.0), vec4(1.0), visible(unpack4(pack4(x))) == vec4(1e30));
#endif
}
