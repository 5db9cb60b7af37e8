// softmax(scale * Q [K_own | K_bank]^T) [V_own | V_bank], streamed: an online softmax (Milakov and
// Gimelshein, 2018) runs over the keys of both sources, tile by tile. Nothing is concatenated and no
// score matrix is stored. One workgroup: one head, ROWS queries, a slice of the output's channels.
#import "lib/storage"

struct Params {
    queries: u32,
    own: u32,        // keys of the first source
    bank: u32,       // and of the second; 0: there is none
    d4: u32,         // vec4s per head
    stride: u32,     // vec4s per position: heads * d4
    query0: u32,     // first query of this dispatch
    scale: f32,      // log2(e) / sqrt(head size): the softmax is of base 2
}

@group(0) @binding(0) var<storage, read> q: array<Stored>;          // [queries, heads * D]
@group(0) @binding(1) var<storage, read> own_k: array<Stored>;      // [own, heads * D]
@group(0) @binding(2) var<storage, read> own_v: array<Stored>;      // [own, heads * D]
@group(0) @binding(3) var<storage, read> bank_k: array<Stored>;     // [bank, heads * D]
@group(0) @binding(4) var<storage, read> bank_v: array<Stored>;     // [bank, heads * D]
@group(0) @binding(5) var<storage, read_write> out: array<Stored>;  // [queries, heads * D]
@group(1) @binding(0) var<uniform> p: Params;

const LOWEST = -3.0e38;

fn key(from_bank: bool, i: u32) -> vec4<f32> {
    if from_bank { return unpack4(bank_k[i]); }
    return unpack4(own_k[i]);
}

fn value(from_bank: bool, i: u32) -> vec4<f32> {
    if from_bank { return unpack4(bank_v[i]); }
    return unpack4(own_v[i]);
}

#ifdef BROADCAST
// For CPU drivers with subgroups of at least 8: one subgroup's 8 lanes share what each has loaded, so that
// a load, the costly thing there, serves 8 rows. Lanes lie along keys for the scores, along channels
// for the output.
const LANES = 8u;
const KEYS = 32u;  // per tile, 4 to a lane
#ifdef D32
const ROWS = 16u;
const CHUNKS = 1u;   // vec4s of output per lane and row: 8 lanes * 1 * 4 = 32 channels
#else
#ifdef D64
const ROWS = 16u;
const CHUNKS = 2u;
#else
#ifdef D160
const ROWS = 8u;
const CHUNKS = 5u;
#else
const ROWS = 8u;
const CHUNKS = 8u;
#endif
#endif
#endif
const HALVES = ROWS / 8u;

var<private> score: array<vec4<f32>, ROWS>;
var<private> acc: array<vec4<f32>, ROWS * CHUNKS>;
var<private> k_rows: array<vec4<f32>, 4>;

// score[row] += q . k for the 4 keys of this lane; a is one vec4 of the row's query.
fn score_row(row: u32, a: vec4<f32>) {
    score[row] += a.x * k_rows[0] + a.y * k_rows[1] + a.z * k_rows[2] + a.w * k_rows[3];
}

// acc += P[:, key] V[key, :] where the key's weights lie in component x of one lane, given as b.
fn add_value(row: u32, weight: f32, v: array<vec4<f32>, CHUNKS>) {
    for (var i = 0u; i < CHUNKS; i++) {
        acc[row * CHUNKS + i] += weight * v[i];
    }
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row0 = p.query0 + wg.x * ROWS;
    let head = wg.y * p.d4;
    let slice = wg.z * LANES * CHUNKS;
    var highest: array<f32, ROWS>;
    var total: array<f32, ROWS>;  // of this lane's keys
    for (var r = 0u; r < ROWS; r++) {
        highest[r] = LOWEST;
        total[r] = 0.0;
        for (var i = 0u; i < CHUNKS; i++) { acc[r * CHUNKS + i] = vec4(0.0); }
    }
    let own_tiles = (p.own + KEYS - 1u) / KEYS;
    let tiles = own_tiles + (p.bank + KEYS - 1u) / KEYS;
    for (var tile = 0u; tile < tiles; tile++) {
        let from_bank = tile >= own_tiles;
        let n = select(p.own, p.bank, from_bank);
        let key0 = select(tile, tile - own_tiles, from_bank) * KEYS;
        let mine = vec4(key0 + lane) + vec4(0u, 8u, 16u, 24u);
        let k_at = min(mine, vec4(n - 1u)) * p.stride + head;

        for (var r = 0u; r < ROWS; r++) { score[r] = vec4(0.0); }
        for (var c = 0u; c < p.d4; c++) {
            k_rows = transpose4(key(from_bank, k_at.x + c), key(from_bank, k_at.y + c),
                                key(from_bank, k_at.z + c), key(from_bank, k_at.w + c));
            for (var h = 0u; h < HALVES; h++) {
                let row = min(row0 + h * 8u + lane, p.queries - 1u);
                let a = unpack4(q[row * p.stride + head + c]);
                score_row(h * 8u, subgroupBroadcast(a, 0u));
                score_row(h * 8u + 1u, subgroupBroadcast(a, 1u));
                score_row(h * 8u + 2u, subgroupBroadcast(a, 2u));
                score_row(h * 8u + 3u, subgroupBroadcast(a, 3u));
                score_row(h * 8u + 4u, subgroupBroadcast(a, 4u));
                score_row(h * 8u + 5u, subgroupBroadcast(a, 5u));
                score_row(h * 8u + 6u, subgroupBroadcast(a, 6u));
                score_row(h * 8u + 7u, subgroupBroadcast(a, 7u));
            }
        }

        let real = mine < vec4(n);
        for (var r = 0u; r < ROWS; r++) {
            let s = select(vec4(LOWEST), score[r] * p.scale, real);
            let most = max(highest[r], subgroupMax(max(max(s.x, s.y), max(s.z, s.w))));
            let shrink = exp2(highest[r] - most);
            let weight = select(vec4(0.0), exp2(s - most), real);
            highest[r] = most;
            total[r] = total[r] * shrink + (weight.x + weight.y + weight.z + weight.w);
            score[r] = weight;
            for (var i = 0u; i < CHUNKS; i++) { acc[r * CHUNKS + i] *= shrink; }
        }

        // Four rounds of eight keys; after each the next component of the weights moves to x.
        for (var round = 0u; round < 4u; round++) {
            for (var j = 0u; j < 8u; j++) {
                let row = min(key0 + round * 8u + j, n - 1u) * p.stride + head;
                var v: array<vec4<f32>, CHUNKS>;
                for (var i = 0u; i < CHUNKS; i++) {
                    v[i] = value(from_bank, row + min(slice + i * LANES + lane, p.d4 - 1u));
                }
                for (var r = 0u; r < ROWS; r++) {
                    add_value(r, subgroupShuffle(score[r].x, j), v);
                }
            }
            for (var r = 0u; r < ROWS; r++) { score[r] = score[r].yzwx; }
        }
    }
    for (var r = 0u; r < ROWS; r++) {
        let norm = 1.0 / subgroupAdd(total[r]);
        for (var i = 0u; i < CHUNKS; i++) {
            let c = slice + i * LANES + lane;
            if row0 + r < p.queries && c < p.d4 {
                out[(row0 + r) * p.stride + head + c] = pack4(acc[r * CHUNKS + i] * norm);
            }
        }
    }
}

fn transpose4(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) -> array<vec4<f32>, 4> {
    return array(vec4(a.x, b.x, c.x, d.x), vec4(a.y, b.y, c.y, d.y), vec4(a.z, b.z, c.z, d.z), vec4(a.w, b.w, c.w, d.w));
}

#else
// For every adapter: queries and keys are staged through workgroup memory. 16 queries, 4 lanes each; a lane
// scores 4 keys of a tile of 16 and holds every fourth vec4 of its query's output.
const ROWS = 16u;
const KEYS = 16u;
const DEPTH = 8u;  // vec4s of a head staged at once
// Rows of the tiles lie one element further apart, so that lanes of different rows read different banks.
const PITCH = DEPTH + 1u;
const WEIGHTS = KEYS + 1u;
#ifdef D32
const CHUNKS = 2u;
#else
#ifdef D64
const CHUNKS = 4u;
#else
#ifdef D160
const CHUNKS = 10u;
#else
const CHUNKS = 16u;
#endif
#endif
#endif

var<workgroup> q_tile: array<vec4<f32>, ROWS * PITCH>;
var<workgroup> k_tile: array<vec4<f32>, KEYS * PITCH>;
var<workgroup> weights: array<f32, ROWS * WEIGHTS>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row0 = p.query0 + wg.x * ROWS;
    let head = wg.y * p.d4;
    let slice = wg.z * CHUNKS * 4u;
    let row = lane / 4u;
    let quarter = lane % 4u;
    var acc: array<vec4<f32>, CHUNKS>;
    for (var i = 0u; i < CHUNKS; i++) { acc[i] = vec4(0.0); }
    var highest = LOWEST;
    var total = 0.0;
    let own_tiles = (p.own + KEYS - 1u) / KEYS;
    let tiles = own_tiles + (p.bank + KEYS - 1u) / KEYS;
    for (var tile = 0u; tile < tiles; tile++) {
        let from_bank = tile >= own_tiles;
        let n = select(p.own, p.bank, from_bank);
        let key0 = select(tile, tile - own_tiles, from_bank) * KEYS;

        var s = vec4(0.0);
        for (var c0 = 0u; c0 < p.d4; c0 += DEPTH) {
            for (var i = lane; i < ROWS * DEPTH; i += 64u) {
                let r = i / DEPTH;
                let c = c0 + i % DEPTH;
                var a = vec4(0.0);
                var b = vec4(0.0);
                if c < p.d4 {
                    a = unpack4(q[min(row0 + r, p.queries - 1u) * p.stride + head + c]);
                    b = key(from_bank, min(key0 + r, n - 1u) * p.stride + head + c);
                }
                q_tile[r * PITCH + i % DEPTH] = a;
                k_tile[r * PITCH + i % DEPTH] = b;
            }
            workgroupBarrier();
            for (var c = 0u; c < DEPTH; c++) {
                let a = q_tile[row * PITCH + c];
                s += vec4(dot(a, k_tile[quarter * PITCH + c]), dot(a, k_tile[(quarter + 4u) * PITCH + c]),
                          dot(a, k_tile[(quarter + 8u) * PITCH + c]), dot(a, k_tile[(quarter + 12u) * PITCH + c]));
            }
            workgroupBarrier();
        }

        let mine = vec4(quarter) + vec4(0u, 4u, 8u, 12u);
        let real = vec4(key0) + mine < vec4(n);
        s = select(vec4(LOWEST), s * p.scale, real);
        for (var i = 0u; i < 4u; i++) { weights[row * WEIGHTS + mine[i]] = s[i]; }
        workgroupBarrier();
        var most = highest;
        for (var j = 0u; j < KEYS; j++) { most = max(most, weights[row * WEIGHTS + j]); }
        workgroupBarrier();
        let weight = select(vec4(0.0), exp2(s - most), real);
        for (var i = 0u; i < 4u; i++) { weights[row * WEIGHTS + mine[i]] = weight[i]; }
        workgroupBarrier();

        let shrink = exp2(highest - most);
        highest = most;
        total *= shrink;
        for (var i = 0u; i < CHUNKS; i++) { acc[i] *= shrink; }
        for (var j = 0u; j < KEYS; j++) {
            let w = weights[row * WEIGHTS + j];
            total += w;
            let at = min(key0 + j, n - 1u) * p.stride + head;
            for (var i = 0u; i < CHUNKS; i++) {
                acc[i] += w * value(from_bank, at + min(slice + i * 4u + quarter, p.d4 - 1u));
            }
        }
        workgroupBarrier();
    }
    if row0 + row < p.queries {
        for (var i = 0u; i < CHUNKS; i++) {
            let c = slice + i * 4u + quarter;
            if c < p.d4 {
                out[(row0 + row) * p.stride + head + c] = pack4(acc[i] / total);
            }
        }
    }
}
#endif
