// For every adapter: queries and keys are staged through workgroup memory. 16 queries, 4 lanes each. A lane scores 4 keys of a tile of 16,
// and holds every fourth vec4 of its query's output, CHUNKS of them (the form's constant).
#import "attention/common"
const ROWS = 16u;
const KEYS = 16u;
const DEPTH = 4u;  // vec4s of a head staged at once; more workgroup memory would leave too few waves on older GPUs
const LOADS = 1u;  // rows of each tile that a lane stages: ROWS * DEPTH / 64
// Rows of the tiles are one element longer than necessary, so that lanes of different rows read different banks.
const PITCH = DEPTH + 1u;
const WEIGHTS = KEYS + 1u;

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
#ifdef PART
    let heads = p.stride / p.d4;
#endif
#ifdef RESUME
    let resumed = min(row0 + row, p.queries - 1u);
    let running = running_in[resumed * heads + wg.y];
    var highest = running.x;
    var total = running.y;
    for (var i = 0u; i < CHUNKS; i++) {
        acc[i] = acc_in[resumed * p.stride + head + min(slice + i * 4u + quarter, p.d4 - 1u)];
    }
#else
    for (var i = 0u; i < CHUNKS; i++) { acc[i] = vec4(0.0); }
    var highest = LOWEST;
    var total = 0.0;
#endif
    let own_tiles = (p.own + KEYS - 1u) / KEYS;
    let tiles = own_tiles + (p.bank + KEYS - 1u) / KEYS;
    for (var tile = 0u; tile < tiles; tile++) {
        let from_bank = tile >= own_tiles;
        let n = select(p.own, p.bank, from_bank);
        let key0 = select(tile, tile - own_tiles, from_bank) * KEYS;

        var s = vec4(0.0);
        for (var c0 = 0u; c0 < p.d4; c0 += DEPTH) {
#for t LOADS
            {
                let r = lane / DEPTH + t * (64u / DEPTH);
                let c = c0 + lane % DEPTH;
                var a = vec4(0.0);
                var b = vec4(0.0);
                if c < p.d4 {
                    a = unpack4(q[min(row0 + r, p.queries - 1u) * p.stride + head + c]);
                    b = key(from_bank, min(key0 + r, n - 1u) * p.stride + head + c);
                }
                q_tile[r * PITCH + lane % DEPTH] = a;
                k_tile[r * PITCH + lane % DEPTH] = b;
            }
#endfor
            workgroupBarrier();
#for c DEPTH
            {
                let a = q_tile[row * PITCH + c];
                s += vec4(dot(a, k_tile[quarter * PITCH + c]), dot(a, k_tile[(quarter + 4u) * PITCH + c]),
                          dot(a, k_tile[(quarter + 8u) * PITCH + c]), dot(a, k_tile[(quarter + 12u) * PITCH + c]));
            }
#endfor
            workgroupBarrier();
        }

        let mine = vec4(quarter) + vec4(0u, 4u, 8u, 12u);
        let real = vec4(key0) + mine < vec4(n);
        s = select(vec4(LOWEST), s * p.scale, real);
#for i 4
        weights[row * WEIGHTS + mine[i]] = s[i];
#endfor
        workgroupBarrier();
        var most = highest;
#for j KEYS
        most = max(most, weights[row * WEIGHTS + j]);
#endfor
        workgroupBarrier();
        let weight = select(vec4(0.0), exp2(s - most), real);
#for i 4
        weights[row * WEIGHTS + mine[i]] = weight[i];
#endfor
        workgroupBarrier();

        let shrink = exp2(highest - most);
        highest = most;
        total *= shrink;
#for i CHUNKS
        acc[i] *= shrink;
#endfor
        for (var j = 0u; j < KEYS; j++) {
            let w = weights[row * WEIGHTS + j];
            total += w;
            let at = min(key0 + j, n - 1u) * p.stride + head;
#for i CHUNKS
            acc[i] += w * value(from_bank, at + min(slice + i * 4u + quarter, p.d4 - 1u));
#endfor
        }
        workgroupBarrier();
    }
#ifdef PART
    if p.last == 0u {
        if row0 + row < p.queries && quarter == 0u && wg.z == 0u {
            running_out[(row0 + row) * heads + wg.y] = vec4(highest, total, 0.0, 0.0);
        }
        for (var i = 0u; i < CHUNKS; i++) {
            let c = slice + i * 4u + quarter;
            if row0 + row < p.queries && c < p.d4 { acc_out[(row0 + row) * p.stride + head + c] = acc[i]; }
        }
        return;
    }
#endif
    if row0 + row < p.queries {
        for (var i = 0u; i < CHUNKS; i++) {
            let c = slice + i * 4u + quarter;
            if c < p.d4 {
                out[(row0 + row) * p.stride + head + c] = pack4(acc[i] / total);
            }
        }
    }
}
