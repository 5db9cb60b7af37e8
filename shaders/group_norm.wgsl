// Statistics of chunks and channels -> scale and shift of GroupNorm per channel. The normalized tensor may be a concatenation [a | b]; a
// group may straddle the seam. One workgroup per group. Means and squared deviations are combined as in Chan, Golub and LeVeque (1979).

struct Params {
    positions: u32,
    chunk_len: u32,
    chunks: u32,
    channels_per_group: u32,
    ca: u32,        // channels of a, without and with padding
    ca_padded: u32,
    cb: u32,        // channels of b (0 without b), without and with padding
    cb_padded: u32,
    eps: f32,
}

@group(0) @binding(0) var<storage, read> stats_a: array<f32>;        // [chunks, 2, Ca]
@group(0) @binding(1) var<storage, read> stats_b: array<f32>;        // [chunks, 2, Cb]
@group(0) @binding(2) var<storage, read> weight: array<f32>;         // [Ca + Cb]
@group(0) @binding(3) var<storage, read> bias: array<f32>;           // [Ca + Cb]
@group(0) @binding(4) var<storage, read_write> affine: array<f32>;   // [2, Ca + Cb]: scale, shift
@group(1) @binding(0) var<uniform> p: Params;

const LANES = 64u;
var<workgroup> partial: array<f32, LANES>;

fn total(lane: u32, value: f32) -> f32 {
    partial[lane] = value;
    for (var step = LANES / 2u; step > 0u; step /= 2u) {
        workgroupBarrier();
        if lane < step { partial[lane] += partial[lane + step]; }
    }
    workgroupBarrier();
    let sum = partial[0];
    workgroupBarrier();
    return sum;
}

fn count(chunk: u32) -> f32 {
    return f32(min(p.chunk_len, p.positions - chunk * p.chunk_len));
}

// The mean (row 0) or M2 (row 1) of a channel in a chunk.
fn stat(chunk: u32, row: u32, channel: u32) -> f32 {
    if channel < p.ca {
        return stats_a[(chunk * 2u + row) * p.ca_padded + channel];
    }
    return stats_b[(chunk * 2u + row) * p.cb_padded + channel - p.ca];
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first = wg.x * p.channels_per_group;
    let items = p.chunks * p.channels_per_group;
    let n = f32(p.positions) * f32(p.channels_per_group);

    var sum = 0.0;
    for (var i = lane; i < items; i += LANES) {
        let chunk = i / p.channels_per_group;
        sum += count(chunk) * stat(chunk, 0u, first + i % p.channels_per_group);
    }
    let mean = total(lane, sum) / n;

    var m2 = 0.0;
    for (var i = lane; i < items; i += LANES) {
        let chunk = i / p.channels_per_group;
        let channel = first + i % p.channels_per_group;
        let d = stat(chunk, 0u, channel) - mean;
        m2 += stat(chunk, 1u, channel) + count(chunk) * d * d;
    }
    let inv_std = 1.0 / sqrt(total(lane, m2) / n + p.eps);

    let padded = p.ca_padded + p.cb_padded;
    for (var i = lane; i < p.channels_per_group; i += LANES) {
        let channel = first + i;
        let place = select(channel - p.ca + p.ca_padded, channel, channel < p.ca);
        let scale = weight[place] * inv_std;
        affine[place] = scale;
        affine[padded + place] = bias[place] - mean * scale;
    }
    // Padding lanes belong to no group, so set them to zero here.
    if wg.x == 0u {
        for (var place = lane; place < padded; place += LANES) {
            let in_b = place >= p.ca_padded;
            if select(place >= p.ca, place - p.ca_padded >= p.cb, in_b) {
                affine[place] = 0.0;
                affine[padded + place] = 0.0;
            }
        }
    }
}
