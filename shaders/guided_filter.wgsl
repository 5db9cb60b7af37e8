// The guided filter of He, Sun and Tang (2013): takes the outlines of the decoder's map from the query's colours. In each window of 2
// radius + 1 pixels a side, cut off at the picture's edge, an affine function of the colours is fitted to the mean of the decoder's
// channels. Each pixel then gets the mean of its windows' functions. All rows of a window have the same length, so its mean is the mean of
// its rows' means, and its covariance is the mean of the rows' covariances plus the covariance of their means.
// Four passes: MOMENTS of rows, FIT over columns, SPREAD along rows, APPLY over columns.
#import "lib/storage"

struct Params {
    height: u32,     // of the picture
    width: u32,
    y0: u32,         // first row of this band
    rows: u32,       // rows of this band
    first: u32,      // first row in the first input's window
    radius: u32,
    epsilon: f32,    // added to the variances
    base_in: u32,    // start of the data in the windows, in vec4s; the guide's window begins with row y0
    base_guide: u32,
    base_out: u32,
    groups_x: u32,
}

#ifdef MOMENTS
@group(0) @binding(0) var<storage, read> drawn: array<Stored>;                  // [H, W, 3]
@group(0) @binding(1) var<storage, read> guide: array<vec4<f32>>;               // [H, W, 3]
@group(0) @binding(2) var<storage, read_write> moments: array<vec4<f32>>;       // [H, W, 16]
#endif
#ifdef FIT
@group(0) @binding(0) var<storage, read> moments: array<vec4<f32>>;             // [H, W, 16]
@group(0) @binding(1) var<storage, read_write> fitted: array<vec4<f32>>;        // [H, W, 4], slopes and offset
#endif
#ifdef SPREAD
@group(0) @binding(0) var<storage, read> fitted: array<vec4<f32>>;              // [H, W, 4]
@group(0) @binding(1) var<storage, read_write> spread: array<vec4<f32>>;        // [H, W, 4]
#endif
#ifdef APPLY
@group(0) @binding(0) var<storage, read> spread: array<vec4<f32>>;              // [H, W, 4]
@group(0) @binding(1) var<storage, read> guide: array<vec4<f32>>;               // [H, W, 3]
@group(0) @binding(2) var<storage, read_write> out: array<Stored>;              // [H, W, 3], three times the same
#endif
@group(1) @binding(0) var<uniform> p: Params;

#ifdef MOMENTS
// A pixel's colour, and the mean of the decoder's channels, clipped as in the final map.
fn pixel(i: u32) -> vec4<f32> {
    let v = clamp(unpack4(drawn[p.base_in + i]).xyz, vec3(-1.0), vec3(1.0));
    return vec4(guide[p.base_guide + i].xyz, (v.x + v.y + v.z) / 3.0);
}
#endif

#ifdef FIT
// Solves S x = v for a symmetric positive S with this diagonal and the off-diagonal elements yz, xz, xy: S = L D L^T.
fn solve(diagonal: vec3<f32>, beside: vec3<f32>, v: vec3<f32>) -> vec3<f32> {
    let l_yx = beside.z / diagonal.x;
    let l_zx = beside.y / diagonal.x;
    let d_y = diagonal.y - l_yx * beside.z;
    let t = beside.x - l_yx * beside.y;
    let l_zy = t / d_y;
    let d_z = diagonal.z - l_zx * beside.y - l_zy * t;
    let y = v.y - l_yx * v.x;
    let z = (v.z - l_zx * v.x - l_zy * y) / d_z;
    let x_y = y / d_y - l_zy * z;
    return vec3(v.x / diagonal.x - l_yx * x_y - l_zx * z, x_y, z);
}
#endif

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (wg.x + wg.y * p.groups_x) * 64u + lane;
    if i >= p.rows * p.width { return; }
    let y = p.y0 + i / p.width;
    let x = i % p.width;
#ifdef ROWS
    // The window's part of this row.
    let left = i - min(x, p.radius);
    let right = i + min(p.width - 1u - x, p.radius);
#else
    // The window's rows.
    let top = y - min(y, p.radius) - p.first;
    let bottom = y + min(p.height - 1u - y, p.radius) - p.first;
#endif
#ifdef MOMENTS
    let n = f32(right + 1u - left);
    var mean = vec4(0.0);
    for (var at = left; at <= right; at++) {
        mean += pixel(at);
    }
    mean = mean / n;
    var diagonal = vec3(0.0);
    var beside = vec3(0.0);
    var with_level = vec3(0.0);
    for (var at = left; at <= right; at++) {
        let d = pixel(at) - mean;
        diagonal += d.xyz * d.xyz;
        beside += d.yxx * d.zzy;
        with_level += d.xyz * d.w;
    }
    let o = p.base_out + 4u * i;
    moments[o] = mean;
    moments[o + 1u] = vec4(diagonal / n, 0.0);
    moments[o + 2u] = vec4(beside / n, 0.0);
    moments[o + 3u] = vec4(with_level / n, 0.0);
#endif
#ifdef FIT
    let n = f32(bottom + 1u - top);
    var mean = vec4(0.0);
    for (var row = top; row <= bottom; row++) {
        mean += moments[p.base_in + 4u * (row * p.width + x)];
    }
    mean = mean / n;
    var diagonal = vec3(0.0);
    var beside = vec3(0.0);
    var with_level = vec3(0.0);
    for (var row = top; row <= bottom; row++) {
        let at = p.base_in + 4u * (row * p.width + x);
        let d = moments[at] - mean;
        diagonal += moments[at + 1u].xyz + d.xyz * d.xyz;
        beside += moments[at + 2u].xyz + d.yxx * d.zzy;
        with_level += moments[at + 3u].xyz + d.xyz * d.w;
    }
    let slopes = solve(diagonal / n + p.epsilon, beside / n, with_level / n);
    fitted[p.base_out + i] = vec4(slopes, mean.w - dot(slopes, mean.xyz));
#endif
#ifdef SPREAD
    var sum = vec4(0.0);
    for (var at = left; at <= right; at++) {
        sum += fitted[p.base_in + at];
    }
    spread[p.base_out + i] = sum / f32(right + 1u - left);
#endif
#ifdef APPLY
    var sum = vec4(0.0);
    for (var row = top; row <= bottom; row++) {
        sum += spread[p.base_in + row * p.width + x];
    }
    let v = dot(sum / f32(bottom + 1u - top), vec4(guide[p.base_guide + i].xyz, 1.0));
    out[p.base_out + i] = pack4(vec4(v, v, v, 0.0));
#endif
}
