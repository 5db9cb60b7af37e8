// The guided filter of He, Sun and Tang (2013): what the decoder drew, its outlines taken from the query's colours. Two passes
// over windows of 2 radius + 1 a side, cut off at the picture's edge. FIT: in each window the mean of the decoder's
// channels as an affine function of the colours. Then: each pixel under the mean of the functions of its windows.
#import "lib/storage"

struct Params {
    height: u32,     // of the picture
    width: u32,
    y0: u32,         // first row of this band
    rows: u32,       // and how many
    first: u32,      // first row that the windows of the inputs hold
    radius: u32,
    epsilon: f32,    // added to the variances
    base_a: u32,     // where the windows begin, in vec4s
    base_guide: u32,
    base_out: u32,
    groups_x: u32,
}

#ifdef FIT
@group(0) @binding(0) var<storage, read> a: array<Stored>;               // [H, W, 3], what the decoder drew
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;    // [H, W, 4], slopes and offset
#else
@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;            // [H, W, 4], slopes and offset
@group(0) @binding(2) var<storage, read_write> out: array<Stored>;       // [H, W, 3], three times the same
#endif
@group(0) @binding(1) var<storage, read> guide: array<vec4<f32>>;        // [H, W, 3]
@group(1) @binding(0) var<uniform> p: Params;

#ifdef FIT
// The mean of the channels, clipped as the map will be.
fn level(i: u32) -> f32 {
    let v = clamp(unpack4(a[p.base_a + i]).xyz, vec3(-1.0), vec3(1.0));
    return (v.x + v.y + v.z) / 3.0;
}

// x of S x = v for a symmetric positive S of this diagonal and these elements yz, xz, xy beside it: S = L D L^T.
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
    let top = y - min(y, p.radius) - p.first;
    let bottom = min(y + p.radius, p.height - 1u) - p.first;
    let left = x - min(x, p.radius);
    let right = min(x + p.radius, p.width - 1u);
    let n = f32((bottom + 1u - top) * (right + 1u - left));
    let own = (y - p.first) * p.width + x;
    let colour = guide[p.base_guide + own].xyz;
#ifdef FIT
    // Differences from the pixel itself: where the window varies little, which is where variances are small, nothing cancels.
    let here = level(own);
    var mean = vec3(0.0);
    var mean_level = 0.0;
    var diagonal = vec3(0.0);
    var beside = vec3(0.0);
    var with_level = vec3(0.0);
    for (var row = top; row <= bottom; row++) {
        for (var column = left; column <= right; column++) {
            let at = row * p.width + column;
            let d = guide[p.base_guide + at].xyz - colour;
            let l = level(at) - here;
            mean += d;
            mean_level += l;
            diagonal += d * d;
            beside += d.yxx * d.zzy;
            with_level += d * l;
        }
    }
    mean = mean / n;
    mean_level = mean_level / n;
    diagonal = diagonal / n - mean * mean + p.epsilon;
    beside = beside / n - mean.yxx * mean.zzy;
    let slopes = solve(diagonal, beside, with_level / n - mean * mean_level);
    out[p.base_out + i] = vec4(slopes, here + mean_level - dot(slopes, colour + mean));
#else
    var sum = vec4(0.0);
    for (var row = top; row <= bottom; row++) {
        for (var column = left; column <= right; column++) {
            sum += a[p.base_a + row * p.width + column];
        }
    }
    let v = dot(sum / n, vec4(colour, 1.0));
    out[p.base_out + i] = pack4(vec4(v, v, v, 0.0));
#endif
}
