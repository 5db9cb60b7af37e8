// softmax(scale * Q [K_own | K_bank]^T) [V_own | V_bank], streamed: an online softmax (Milakov and Gimelshein, 2018) processes the keys of
// both sources tile by tile, without a concatenation or a stored score matrix. One workgroup: one head, ROWS queries, a slice of the
// output's channels.
// Every form with loops includes this file. PART: the dispatch reads a part of one source's keys and stores the running softmax. RESUME: it
// continues the softmax of the previous part.
#import "lib/storage"
#import "attention/params"

@group(0) @binding(0) var<storage, read> q: array<Stored>;          // [queries, heads * D]
@group(0) @binding(1) var<storage, read> own_k: array<Stored>;      // [own, heads * D]
@group(0) @binding(2) var<storage, read> own_v: array<Stored>;      // [own, heads * D]
#ifdef PART
#ifdef RESUME
@group(0) @binding(3) var<storage, read> acc_in: array<vec4<f32>>;         // [queries, heads * D], sums of weighted values
@group(0) @binding(4) var<storage, read> running_in: array<vec4<f32>>;     // [queries, heads * 4]: maximum, sum of weights, 0, 0
@group(0) @binding(5) var<storage, read_write> acc_out: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> running_out: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> out: array<Stored>;         // [queries, heads * D]
#else
@group(0) @binding(3) var<storage, read_write> acc_out: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> running_out: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> out: array<Stored>;
#endif
#else
@group(0) @binding(3) var<storage, read> bank_k: array<Stored>;     // [bank, heads * D]
@group(0) @binding(4) var<storage, read> bank_v: array<Stored>;     // [bank, heads * D]
@group(0) @binding(5) var<storage, read_write> out: array<Stored>;  // [queries, heads * D]
#endif
@group(1) @binding(0) var<uniform> p: Params;

const LOWEST = -3.0e38;

fn key(from_bank: bool, i: u32) -> vec4<f32> {
#ifdef PART
    return unpack4(own_k[p.base + i]);
#else
    if from_bank { return unpack4(bank_k[i]); }
    return unpack4(own_k[i]);
#endif
}

fn value(from_bank: bool, i: u32) -> vec4<f32> {
#ifdef PART
    return unpack4(own_v[p.base + i]);
#else
    if from_bank { return unpack4(bank_v[i]); }
    return unpack4(own_v[i]);
#endif
}
