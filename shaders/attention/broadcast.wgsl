// For CPU drivers with subgroups of at least 8. Loads are expensive there, so 8 lanes of a subgroup share what each has loaded: one load
// serves 8 rows. Lanes map to keys for the scores, and to channels for the output.
// Constants of the form: ROWS queries, in HALVES groups of 8, and CHUNKS vec4s of output per lane and query: 8 lanes * CHUNKS * 4 channels.
#import "attention/common"
const LANES = 8u;
const KEYS = 32u;  // per tile, 4 to a lane
var<private> score: array<vec4<f32>, ROWS>;
var<private> acc: array<vec4<f32>, ROWS * CHUNKS>;
var<private> k_rows: array<vec4<f32>, 4>;

// score[row] += q . k for the 4 keys of this lane; a is one vec4 of the row's query.
fn score_row(row: u32, a: vec4<f32>) {
    score[row] += a.x * k_rows[0] + a.y * k_rows[1] + a.z * k_rows[2] + a.w * k_rows[3];
}

// acc += P[:, key] V[key, :], where b selects the lane that holds the key's weights in component x.
fn add_value(row: u32, weight: f32, v: array<vec4<f32>, CHUNKS>) {
#for i CHUNKS
    acc[row * CHUNKS + i] += weight * v[i];
#endfor
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row0 = p.query0 + wg.x * ROWS;
    let head = wg.y * p.d4;
    let slice = wg.z * LANES * CHUNKS;
#ifdef PART
    let heads = p.stride / p.d4;
#endif
    var highest: array<f32, ROWS>;
    var total: array<f32, ROWS>;  // over this lane's keys
    for (var r = 0u; r < ROWS; r++) {
#ifdef RESUME
        let row = min(row0 + r, p.queries - 1u);
        let running = running_in[row * heads + wg.y];
        highest[r] = running.x;
        total[r] = select(0.0, running.y, lane == 0u);
        for (var i = 0u; i < CHUNKS; i++) {
            acc[r * CHUNKS + i] = acc_in[row * p.stride + head + min(slice + i * LANES + lane, p.d4 - 1u)];
        }
#else
        highest[r] = LOWEST;
        total[r] = 0.0;
        for (var i = 0u; i < CHUNKS; i++) { acc[r * CHUNKS + i] = vec4(0.0); }
#endif
    }
    let own_tiles = (p.own + KEYS - 1u) / KEYS;
    let tiles = own_tiles + (p.bank + KEYS - 1u) / KEYS;
    for (var tile = 0u; tile < tiles; tile++) {
        let from_bank = tile >= own_tiles;
        let n = select(p.own, p.bank, from_bank);
        let key0 = select(tile, tile - own_tiles, from_bank) * KEYS;
        let mine = vec4(key0 + lane) + vec4(0u, 8u, 16u, 24u);
        let k_at = min(mine, vec4(n - 1u)) * p.stride + head;

#for r ROWS
        score[r] = vec4(0.0);
#endfor
        for (var c = 0u; c < p.d4; c++) {
            k_rows = transpose4(key(from_bank, k_at.x + c), key(from_bank, k_at.y + c),
                                key(from_bank, k_at.z + c), key(from_bank, k_at.w + c));
#for h HALVES
            {
                let a = unpack4(q[min(row0 + h * 8u + lane, p.queries - 1u) * p.stride + head + c]);
#for l 8
                score_row(h * 8u + l, subgroupBroadcast(a, l));
#endfor
            }
#endfor
        }

        let real = mine < vec4(n);
#for r ROWS
        {
            let s = select(vec4(LOWEST), score[r] * p.scale, real);
            let most = max(highest[r], subgroupMax(max(max(s.x, s.y), max(s.z, s.w))));
            let shrink = exp2(highest[r] - most);
            let weight = select(vec4(0.0), exp2(s - most), real);
            highest[r] = most;
            total[r] = total[r] * shrink + (weight.x + weight.y + weight.z + weight.w);
            score[r] = weight;
#for i CHUNKS
            acc[r * CHUNKS + i] *= shrink;
#endfor
        }
#endfor

        // Four rounds of eight keys; after each, the next component of the weights moves to x.
        for (var round = 0u; round < 4u; round++) {
            for (var j = 0u; j < 8u; j++) {
                let row = min(key0 + round * 8u + j, n - 1u) * p.stride + head;
                var v: array<vec4<f32>, CHUNKS>;
#for i CHUNKS
                v[i] = value(from_bank, row + min(slice + i * LANES + lane, p.d4 - 1u));
#endfor
#for r ROWS
                add_value(r, subgroupShuffle(score[r].x, j), v);
#endfor
            }
#for r ROWS
            score[r] = score[r].yzwx;
#endfor
        }
    }
    for (var r = 0u; r < ROWS; r++) {
        let sum = subgroupAdd(total[r]);
#ifdef PART
        if p.last == 0u {
            let row = row0 + r;
            if row < p.queries && lane == 0u && wg.z == 0u {
                running_out[row * heads + wg.y] = vec4(highest[r], sum, 0.0, 0.0);
            }
            for (var i = 0u; i < CHUNKS; i++) {
                let c = slice + i * LANES + lane;
                if row < p.queries && c < p.d4 { acc_out[row * p.stride + head + c] = acc[r * CHUNKS + i]; }
            }
            continue;
        }
#endif
        let norm = 1.0 / sum;
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
