"""C functions that add up products over a window: signs by signs, integers by integers, integers by signs."""

from __future__ import annotations

from string import Template

_GEOMETRY = """\
/* A window that moves over a picture: sizes of input, output, kernel; steps, padding before, distance between taps; channels
   that an output channel reads (cg), and output channels that read the same ones (og). */
typedef struct {
  int32_t h, w, c, oh, ow, oc, kh, kw, sh, sw, ph, pw, dh, dw, cg, og;
} window_t;
"""

_TAPS_AT = """\
/* Where a window stands, and which of its taps are inside of the picture. */
typedef struct {
  int32_t y, x, ky, kx, ky_end, kx_end;
} taps_t;

static int32_t first_tap(int32_t at, int32_t step) { return at < 0 ? (-at + step - 1) / step : 0; }

static int32_t last_tap(int32_t at, int32_t step, int32_t size, int32_t taps) {
  const int32_t fit = at < size ? (size - at + step - 1) / step : 0;
  return fit < taps ? fit : taps;
}

static taps_t taps_at(const window_t *g, int32_t oy, int32_t ox) {
  taps_t t;
  t.y = oy * g->sh - g->ph;
  t.x = ox * g->sw - g->pw;
  t.ky = first_tap(t.y, g->dh);
  t.kx = first_tap(t.x, g->dw);
  t.ky_end = last_tap(t.y, g->dh, g->h, g->kh);
  t.kx_end = last_tap(t.x, g->dw, g->w, g->kw);
  if (t.kx >= t.kx_end || t.ky >= t.ky_end) t.kx_end = t.kx, t.ky_end = t.ky;
  return t;
}
"""

_POPCOUNT = """\
static int32_t ones(uint32_t x) {
#if defined(__GNUC__) && !defined(EDGEKIT_PORTABLE) && UINT_MAX >= 0xffffffffu
  return (int32_t)__builtin_popcount((unsigned int)x);
#else
  x -= (x >> 1) & 0x55555555u;
  x = (x & 0x33333333u) + ((x >> 2) & 0x33333333u);
  x = (x + (x >> 4)) & 0x0f0f0f0fu;
  return (int32_t)((uint32_t)(x * 0x01010101u) >> 24);
#endif
}
"""

_EIGHT = """\
/* Eight integers, each with the sign of its bit. */
static int32_t eight(const int8_t *p, uint32_t bits) {
  return (bits & 1u ? p[0] : -p[0]) + (bits & 2u ? p[1] : -p[1]) + (bits & 4u ? p[2] : -p[2]) + (bits & 8u ? p[3] : -p[3]) +
         (bits & 16u ? p[4] : -p[4]) + (bits & 32u ? p[5] : -p[5]) + (bits & 64u ? p[6] : -p[6]) +
         (bits & 128u ? p[7] : -p[7]);
}
"""

#: The taps of a row lie behind each other in input and weights alike where none is left out between them and every channel is
#: read (and, for weights of bits beside integers, where the channels fill whole words): then they are one run.
_RUNS = """\
  const int32_t across = t->kx_end - t->kx, joined = g->dw == 1 && g->cg == g->c && $whole;
  const int32_t runs = joined ? 1 : across, length = joined ? across * $length : $length;
  int32_t ky, k, i;
  for (ky = t->ky; ky < t->ky_end; ky++) {
    const $x_type *row = x + (size_t)((t->y + ky * g->dh) * g->w + t->x + t->kx * g->dw) * (size_t)$pixel;
    const $w_type *taps = w + (size_t)((ky * g->kw + t->kx) * $tap);
    for (k = 0; k < runs; k++) {
      const $x_type *p = row + (size_t)(k * g->dw * $pixel);
      const $w_type *q = taps + (size_t)(k * $tap);
$body
    }
  }
"""

_SUM_BITS = (
    """\
/* Signs times signs: as many as are equal, minus as many as differ. */
static int32_t sum_bits(const window_t *g, const taps_t *t, const void *in, const void *weights, int32_t zero, int32_t o) {
  const int32_t words = (g->cg + 31) / 32, pixel = (g->c + 31) / 32;
  const uint32_t *x = (const uint32_t *)in + o / g->og * (g->cg / 32);
  const uint32_t *w = (const uint32_t *)weights + (size_t)o * (size_t)(g->kh * g->kw * words);
  int32_t differ = 0;
"""
    + Template(_RUNS).substitute(
        whole="1",
        length="words",
        tap="words",
        pixel="pixel",
        x_type="uint32_t",
        w_type="uint32_t",
        body="      for (i = 0; i < length; i++) differ += ones(p[i] ^ q[i]);",
    )
    + "  (void)zero;\n  return (t->ky_end - t->ky) * across * g->cg - 2 * differ;\n}\n"
)

_SUM_BYTES = (
    """\
/* Integers times integers. */
static int32_t sum_bytes(const window_t *g, const taps_t *t, const void *in, const void *weights, int32_t zero, int32_t o) {
  const int8_t *x = (const int8_t *)in + o / g->og * g->cg;
  const int8_t *w = (const int8_t *)weights + (size_t)o * (size_t)(g->kh * g->kw * g->cg);
  int32_t sum = 0;
"""
    + Template(_RUNS).substitute(
        whole="1",
        length="g->cg",
        tap="g->cg",
        pixel="g->c",
        x_type="int8_t",
        w_type="int8_t",
        body="      for (i = 0; i < length; i++) sum += ((int32_t)p[i] - zero) * q[i];",
    )
    + "  return sum;\n}\n"
)

_SUM_MIXED = (
    """\
/* Integers times signs: a word of signs is shifted out beside its integers. */
static int32_t sum_mixed(const window_t *g, const taps_t *t, const void *in, const void *weights, int32_t zero, int32_t o) {
  const int32_t words = (g->cg + 31) / 32;
  const int8_t *x = (const int8_t *)in + o / g->og * g->cg;
  const uint32_t *w = (const uint32_t *)weights + (size_t)o * (size_t)(g->kh * g->kw * words);
  int32_t sum = 0;
"""
    + Template(_RUNS).substitute(
        whole="g->cg % 32 == 0",
        length="g->cg",
        tap="words",
        pixel="g->c",
        x_type="int8_t",
        w_type="uint32_t",
        body="      for (i = 0; i < length; i += 32) {\n"
        "        const int32_t count = length - i < 32 ? length - i : 32;\n"
        "        uint32_t bits = q[i / 32];\n"
        "        int32_t n;\n"
        "        sum -= zero * (2 * ones(bits) - count);\n"
        "        for (n = 0; n + 8 <= count; n += 8, bits >>= 8) sum += eight(p + i + n, bits);\n"
        "        for (; n < count; n++, bits >>= 1) sum += bits & 1u ? p[i + n] : -p[i + n];\n"
        "      }",
    )
    + "  return sum;\n}\n"
)

#: Name -> text and the names of what it calls.
SUMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "window_t": (_GEOMETRY, ()),
    "taps_at": (_TAPS_AT, ("window_t",)),
    "ones": (_POPCOUNT, ()),
    "sum_bits": (_SUM_BITS, ("taps_at", "ones")),
    "sum_bytes": (_SUM_BYTES, ("taps_at",)),
    "eight": (_EIGHT, ()),
    "sum_mixed": (_SUM_MIXED, ("taps_at", "ones", "eight")),
}
