// Attention with heads of 32 channels on a CPU with AMX: scores live in registers and L1, never in memory (as in FlashAttention, Dao et
// al., 2022). Everything is transposed, [keys, queries], so that a query is a lane of a vector, and probabilities are written as the tiles
// that the next product reads.
//
// Compiled by attention.py.
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

// The compiler's own intrinsics do not declare that they read and write memory (GCC 12).
#define TILE_LOAD(t, from, stride) \
  asm volatile("tileloadd (%0,%1,1), %%tmm" #t ::"r"(from), "r"(int64_t(stride)) : "memory")
#define TILE_STORE(t, to, stride) \
  asm volatile("tilestored %%tmm" #t ", (%0,%1,1)" ::"r"(to), "r"(int64_t(stride)) : "memory")
#define TILE_ZERO(t) asm volatile("tilezero %%tmm" #t ::)
#define TILE_DOT(c, a, b) asm volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c ::)

namespace {

using bf16 = uint16_t;
constexpr int D = 32, BLOCK = 32, E = 48, EK = 64;  // channels of a head; queries or keys of a block; of values, padded

struct alignas(64) Config {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

float widen(bf16 x) {
  uint32_t bits = uint32_t(x) << 16;
  float f;
  memcpy(&f, &bits, 4);
  return f;
}

bf16 narrow(float f) {
  uint32_t bits;
  memcpy(&bits, &f, 4);
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

// 2^x for x <= 127, with a relative error of 5e-5; NaN stays NaN, but of a maximum's operands only in the second.
__m512 exp2(__m512 x) {
  x = _mm512_max_ps(_mm512_set1_ps(-126), x);
  __m512 whole = _mm512_roundscale_ps(x, 0), r = _mm512_sub_ps(x, whole);
  __m512 p = _mm512_set1_ps(0.0096181291f);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.0555041087f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.2402265070f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.6931471806f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, whole);
}

// Rows [n, w] into zero-padded rows [rows, stride].
void pad(const bf16* from, int n, int w, bf16* to, int rows, int stride) {
  memset(to, 0, size_t(rows) * stride * 2);
  for (int i = 0; i < n; i++) memcpy(to + size_t(i) * stride, from + size_t(i) * w, w * 2);
}

// [rows, stride] -> [width, rows]
void transpose(const bf16* from, int rows, int stride, int width, bf16* to) {
  for (int i = 0; i < rows; i++)
    for (int c = 0; c < width; c++) to[size_t(c) * rows + i] = from[size_t(i) * stride + c];
}

// Loads 16 rows of 32 channels from row-major order as a transposed right factor: pairs of channels by rows.
void right_transposed(const bf16* from, int stride, uint32_t* to) {
  for (int q = 0; q < 16; q++)
    for (int c = 0; c < 16; c++) memcpy(to + c * 16 + q, from + size_t(q) * stride + 2 * c, 4);
}

// Loads 32 rows of 16 channels as a right factor: pairs of rows by channels.
void right(const bf16* from, int stride, uint32_t* to) {
  for (int r = 0; r < 16; r++)
    for (int c = 0; c < 16; c++)
      to[r * 16 + c] = from[size_t(2 * r) * stride + c] | uint32_t(from[size_t(2 * r + 1) * stride + c]) << 16;
}

__m512i pairs(__m512 even, __m512 odd) {
  __m256i e = (__m256i)_mm512_cvtneps_pbh(even), o = (__m256i)_mm512_cvtneps_pbh(odd);
  return _mm512_or_si512(_mm512_cvtepu16_epi32(e), _mm512_slli_epi32(_mm512_cvtepu16_epi32(o), 16));
}

// The tiles 0 to 3 as [32 keys][32 queries].
inline void store(float* to) {
  TILE_STORE(0, to, 128);
  TILE_STORE(1, to + 16, 128);
  TILE_STORE(2, to + 512, 128);
  TILE_STORE(3, to + 528, 128);
}

// scores^T of a block into `s`; entries beyond its `count` keys are almost minus infinity.
inline void scores(const bf16* keys, int count, const uint32_t* queries, float* s) {
  TILE_ZERO(0); TILE_ZERO(1); TILE_ZERO(2); TILE_ZERO(3);
  TILE_LOAD(4, keys, D * 2);
  TILE_LOAD(5, keys + 16 * D, D * 2);
  TILE_LOAD(6, queries, 64);
  TILE_LOAD(7, queries + 256, 64);
  TILE_DOT(0, 4, 6); TILE_DOT(1, 4, 7); TILE_DOT(2, 5, 6); TILE_DOT(3, 5, 7);
  store(s);
  for (int r = count; r < BLOCK; r++)
    for (int x = 0; x < 32; x++) s[r * 32 + x] = -1e30f;
}

// to [16 * tiles][32] += `tiles` tiles of 16 rows of `from` times `right`: O^T += V^T P^T, dQ^T += K^T dS^T.
inline void add_transposed(const bf16* from, int stride, const uint32_t* right, float* to, int tiles) {
  TILE_LOAD(6, right, 64);
  TILE_LOAD(7, right + 256, 64);
  for (int t = 0; t < tiles; t++, to += 512) {
    TILE_LOAD(4, from + size_t(t) * 16 * stride, stride * 2);
    TILE_LOAD(0, to, 128);
    TILE_LOAD(1, to + 16, 128);
    TILE_DOT(0, 4, 6);
    TILE_DOT(1, 4, 7);
    TILE_STORE(0, to, 128);
    TILE_STORE(1, to + 16, 128);
  }
}

// to [32][stride] += from [32][32] times `tiles` tiles of 16 columns: dV += P^T dO, dK += dS^T Q.
inline void add_product(const bf16* from, const uint32_t* columns, float* to, int stride, int tiles) {
  TILE_LOAD(4, from, 64);
  TILE_LOAD(5, from + 512, 64);
  for (int t = 0; t < tiles; t++, to += 16) {
    TILE_LOAD(6, columns + 256 * t, 64);
    TILE_LOAD(0, to, stride * 4);
    TILE_LOAD(1, to + 16 * stride, stride * 4);
    TILE_DOT(0, 4, 6);
    TILE_DOT(1, 5, 6);
    TILE_STORE(0, to, stride * 4);
    TILE_STORE(1, to + 16 * stride, stride * 4);
  }
}

int up(int n) { return (n + BLOCK - 1) / BLOCK * BLOCK; }

}  // namespace

extern "C" {

// Requests AMX tiles from the kernel; returns 0 on success.
int attention_init() { return syscall(SYS_arch_prctl, 0x1023, 18); }

// q [batch, n, 32], k [batch, m, 32], v [batch, m, e], out [batch, n, e], all bf16; lse [batch, n] f32, to base 2.
void attention_forward(const bf16* q, const bf16* k, const bf16* v, bf16* out, float* lse, int batch, int n, int m,
                       int e) {
  Config config;
  _tile_loadconfig(&config);
  int N = up(n), M = up(m);
  std::vector<bf16> space(size_t(N) * D + size_t(M) * D + size_t(M) * E * 2 + 64);
  bf16* qs = (bf16*)(((uintptr_t)space.data() + 63) & ~uintptr_t(63));
  bf16 *ks = qs + size_t(N) * D, *vs = ks + size_t(M) * D, *vt = vs + size_t(M) * E;
  alignas(64) float s[1024], o[E * 32], fold[32];
  alignas(64) uint32_t qt[512], p[512];
  const __m512 c = _mm512_set1_ps(1.4426950409f / std::sqrt(float(D)));
  for (int b = 0; b < batch; b++) {
    pad(q + size_t(b) * n * D, n, D, qs, N, D);
    pad(k + size_t(b) * m * D, m, D, ks, M, D);
    pad(v + size_t(b) * m * e, m, e, vs, M, E);
    transpose(vs, M, E, E, vt);
    for (int i = 0; i < N; i += BLOCK) {
      right_transposed(qs + i * D, D, qt);
      right_transposed(qs + (i + 16) * D, D, qt + 256);
      __m512 most[2] = {_mm512_set1_ps(-1e30f), _mm512_set1_ps(-1e30f)};
      for (int j = 0; j < M; j += BLOCK) {
        scores(ks + j * D, m - j, qt, s);
        for (int r = 0; r < BLOCK; r++)
          for (int h = 0; h < 2; h++) most[h] = _mm512_max_ps(most[h], _mm512_load_ps(s + r * 32 + 16 * h));
      }
      __m512 sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
      for (int h = 0; h < 2; h++) most[h] = _mm512_mul_ps(most[h], c);
      memset(o, 0, sizeof o);
      for (int j = 0; j < M; j += BLOCK) {
        scores(ks + j * D, m - j, qt, s);
        for (int r = 0; r < 16; r++)
          for (int h = 0; h < 2; h++) {
            __m512 x = exp2(_mm512_fmsub_ps(_mm512_load_ps(s + 2 * r * 32 + 16 * h), c, most[h]));
            __m512 y = exp2(_mm512_fmsub_ps(_mm512_load_ps(s + (2 * r + 1) * 32 + 16 * h), c, most[h]));
            sum[h] = _mm512_add_ps(sum[h], _mm512_add_ps(x, y));
            _mm512_store_si512(p + h * 256 + r * 16, pairs(x, y));
          }
        add_transposed(vt + j, M, p, o, (e + 15) / 16);
      }
      alignas(64) float top[32];
      for (int h = 0; h < 2; h++) _mm512_store_ps(fold + 16 * h, sum[h]), _mm512_store_ps(top + 16 * h, most[h]);
      for (int x = 0; x < std::min(BLOCK, n - i); x++) {
        size_t row = size_t(b) * n + i + x;
        lse[row] = top[x] + std::log2(fold[x]);
        for (int ch = 0; ch < e; ch++) out[row * e + ch] = narrow(o[ch * 32 + x] / fold[x]);
      }
    }
  }
  _tile_release();
}

// The gradients of the above, with the same shapes.
void attention_backward(const bf16* q, const bf16* k, const bf16* v, const bf16* out, const float* lse,
                        const bf16* grad, bf16* dq, bf16* dk, bf16* dv, int batch, int n, int m, int e) {
  Config config;
  _tile_loadconfig(&config);
  int N = up(n), M = up(m);
  std::vector<bf16> space(size_t(N) * (D + EK) + size_t(M) * (2 * D + EK) + 64);
  std::vector<float> sums(size_t(M) * (D + E) + 16);
  bf16* qs = (bf16*)(((uintptr_t)space.data() + 63) & ~uintptr_t(63));
  bf16 *gs = qs + size_t(N) * D, *ks = gs + size_t(N) * EK, *vs = ks + size_t(M) * D, *kt = vs + size_t(M) * EK;
  float* dks = (float*)(((uintptr_t)sums.data() + 63) & ~uintptr_t(63));
  float* dvs = dks + size_t(M) * D;
  alignas(64) float s[1024], dp[1024], dqt[1024], l[32], delta[32];
  alignas(64) uint32_t qt[512], gt[1024], qr[512], gr[768], ds[512];
  alignas(64) bf16 pa[1024], da[1024];
  const float scale = 1 / std::sqrt(float(D));
  const __m512 c = _mm512_set1_ps(1.4426950409f * scale);
  int tiles = (e + 15) / 16;
  for (int b = 0; b < batch; b++) {
    pad(q + size_t(b) * n * D, n, D, qs, N, D);
    pad(k + size_t(b) * m * D, m, D, ks, M, D);
    pad(v + size_t(b) * m * e, m, e, vs, M, EK);
    pad(grad + size_t(b) * n * e, n, e, gs, N, EK);
    transpose(ks, M, D, D, kt);
    memset(dks, 0, size_t(M) * (D + E) * 4);
    for (int i = 0; i < N; i += BLOCK) {
      for (int h = 0; h < 2; h++) {
        right_transposed(qs + (i + 16 * h) * D, D, qt + 256 * h);
        for (int t = 0; t < 2; t++) right_transposed(gs + (i + 16 * h) * EK + 32 * t, EK, gt + 512 * t + 256 * h);
        right(qs + i * D + 16 * h, D, qr + 256 * h);
      }
      for (int t = 0; t < 3; t++) right(gs + i * EK + 16 * t, EK, gr + 256 * t);
      for (int x = 0; x < 32; x++) {
        size_t row = size_t(b) * n + i + x;
        l[x] = 1e30f, delta[x] = 0;
        if (i + x >= n) continue;
        l[x] = lse[row];
        for (int ch = 0; ch < e; ch++) delta[x] += widen(out[row * e + ch]) * widen(grad[row * e + ch]);
      }
      memset(dqt, 0, sizeof dqt);
      for (int j = 0; j < M; j += BLOCK) {
        scores(ks + j * D, m - j, qt, s);
        TILE_ZERO(0); TILE_ZERO(1); TILE_ZERO(2); TILE_ZERO(3);
        for (int t = 0; t < (e > 32 ? 2 : 1); t++) {
          TILE_LOAD(4, vs + size_t(j) * EK + 32 * t, EK * 2);
          TILE_LOAD(5, vs + size_t(j + 16) * EK + 32 * t, EK * 2);
          TILE_LOAD(6, gt + 512 * t, 64);
          TILE_LOAD(7, gt + 512 * t + 256, 64);
          TILE_DOT(0, 4, 6); TILE_DOT(1, 4, 7); TILE_DOT(2, 5, 6); TILE_DOT(3, 5, 7);
        }
        store(dp);
        for (int r = 0; r < 16; r++) {
          __m512 p[2][2], d[2][2];
          for (int odd = 0; odd < 2; odd++)
            for (int h = 0; h < 2; h++) {
              int at = (2 * r + odd) * 32 + 16 * h;
              p[odd][h] = exp2(_mm512_fmsub_ps(_mm512_load_ps(s + at), c, _mm512_load_ps(l + 16 * h)));
              __m512 off = _mm512_sub_ps(_mm512_load_ps(dp + at), _mm512_load_ps(delta + 16 * h));
              d[odd][h] = _mm512_mul_ps(p[odd][h], off);
            }
          for (int odd = 0; odd < 2; odd++) {
            _mm512_store_si512(pa + (2 * r + odd) * 32, (__m512i)_mm512_cvtne2ps_pbh(p[odd][1], p[odd][0]));
            _mm512_store_si512(da + (2 * r + odd) * 32, (__m512i)_mm512_cvtne2ps_pbh(d[odd][1], d[odd][0]));
          }
          for (int h = 0; h < 2; h++) _mm512_store_si512(ds + h * 256 + r * 16, pairs(d[0][h], d[1][h]));
        }
        add_product(pa, gr, dvs + size_t(j) * E, E, tiles);
        add_product(da, qr, dks + size_t(j) * D, D, 2);
        add_transposed(kt + j, M, ds, dqt, 2);
      }
      for (int x = 0; x < std::min(BLOCK, n - i); x++)
        for (int ch = 0; ch < D; ch++) dq[(size_t(b) * n + i + x) * D + ch] = narrow(scale * dqt[ch * 32 + x]);
    }
    for (int j = 0; j < m; j++) {
      size_t row = size_t(b) * m + j;
      for (int ch = 0; ch < D; ch++) dk[row * D + ch] = narrow(scale * dks[size_t(j) * D + ch]);
      for (int ch = 0; ch < e; ch++) dv[row * e + ch] = narrow(dvs[size_t(j) * E + ch]);
    }
  }
  _tile_release();
}
}
