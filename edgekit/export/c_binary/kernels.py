"""The C functions that a network is made of. Only those that it calls are written into its file.

A picture is held row by row, the channels of a pixel together: integers one a byte, signs one a bit (1 for +1), 32 to a word,
each pixel beginning a word. A linear layer is a convolution whose window is the whole picture. What lies outside of the picture
adds nothing to a sum, whatever the inputs are.
"""

from __future__ import annotations

from string import Template

from edgekit.export.c_binary.elementwise_kernels import ELEMENTWISE

_GEOMETRY = """\
/* A window that moves over a picture: sizes of input, output, kernel; steps, padding before, distance between taps; channels
   that an output channel reads (cg), and output channels that read the same ones (og). */
typedef struct {
  int32_t h, w, c, oh, ow, oc, kh, kw, sh, sw, ph, pw, dh, dw, cg, og;
} window_t;
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

_TAPS = """\
  int32_t ky, kx, i;
  for (ky = 0; ky < g->kh; ky++) {
    const int32_t y = oy * g->sh - g->ph + ky * g->dh;
    if (y < 0 || y >= g->h) { w += g->kw * $row; continue; }
    for (kx = 0; kx < g->kw; kx++, w += $row) {
      const int32_t at = ox * g->sw - g->pw + kx * g->dw;
      if (at < 0 || at >= g->w) continue;
      {
$body
      }
    }
  }
"""

_SUM_BITS = (
    """\
/* Signs times signs: as many as are equal, minus as many as differ. */
static int32_t sum_bits(const window_t *g, const void *in, const void *weights, int32_t zero, int32_t oy, int32_t ox,
                        int32_t o) {
  const int32_t words = (g->cg + 31) / 32, pixel = (g->c + 31) / 32;
  const uint32_t *x = (const uint32_t *)in + o / g->og * (g->cg / 32);
  const uint32_t *w = (const uint32_t *)weights + (size_t)o * (size_t)(g->kh * g->kw * words);
  int32_t pairs = 0, differ = 0;
"""
    + Template(_TAPS).substitute(
        row="words",
        body="        const uint32_t *p = x + (size_t)(y * g->w + at) * (size_t)pixel;\n"
        "        for (i = 0; i < words; i++) differ += ones(p[i] ^ w[i]);\n"
        "        pairs += g->cg;",
    )
    + "  (void)zero;\n  return pairs - 2 * differ;\n}\n"
)

_SUM_BYTES = (
    """\
/* Integers times integers. */
static int32_t sum_bytes(const window_t *g, const void *in, const void *weights, int32_t zero, int32_t oy, int32_t ox,
                        int32_t o) {
  const int8_t *x = (const int8_t *)in + o / g->og * g->cg;
  const int8_t *w = (const int8_t *)weights + (size_t)o * (size_t)(g->kh * g->kw * g->cg);
  int32_t sum = 0;
"""
    + Template(_TAPS).substitute(
        row="g->cg",
        body="        const int8_t *p = x + (size_t)(y * g->w + at) * (size_t)g->c;\n"
        "        for (i = 0; i < g->cg; i++) sum += ((int32_t)p[i] - zero) * w[i];",
    )
    + "  return sum;\n}\n"
)

_SUM_MIXED = (
    """\
/* Integers times signs. */
static int32_t sum_mixed(const window_t *g, const void *in, const void *weights, int32_t zero, int32_t oy, int32_t ox,
                        int32_t o) {
  const int32_t words = (g->cg + 31) / 32;
  const int8_t *x = (const int8_t *)in + o / g->og * g->cg;
  const uint32_t *w = (const uint32_t *)weights + (size_t)o * (size_t)(g->kh * g->kw * words);
  int32_t sum = 0;
"""
    + Template(_TAPS).substitute(
        row="words",
        body="        const int8_t *p = x + (size_t)(y * g->w + at) * (size_t)g->c;\n"
        "        for (i = 0; i < g->cg; i++) {\n"
        "          const int32_t v = (int32_t)p[i] - zero;\n"
        "          sum += (w[i / 32] >> (i % 32)) & 1u ? v : -v;\n"
        "        }",
    )
    + "  return sum;\n}\n"
)

_TO_SIGNS = """\
/* Signs of sums: +1 from a threshold of each channel on. */
static void signs_of_$sums(const window_t *g, const void *in, const void *weights, int32_t zero, const int32_t *least,
                           uint32_t *out) {
  int32_t oy, ox, o;
  for (oy = 0; oy < g->oh; oy++)
    for (ox = 0; ox < g->ow; ox++)
      for (o = 0; o < g->oc; o += 32, out++) {
        int32_t i;
        uint32_t word = 0;
        for (i = 0; i < 32 && o + i < g->oc; i++)
          if (sum_$sums(g, in, weights, zero, oy, ox, o + i) >= least[o + i]) word |= (uint32_t)1 << i;
        *out = word;
      }
}
"""

_FLOOR_SHIFT = """\
static int64_t floor_shift(int64_t x, int32_t bits) {
  return x >= 0 ? x >> bits : -((-x + (((int64_t)1 << bits) - 1)) >> bits);
}
"""

_RESCALE = """\
/* x * significand * 2^(shift - 31), rounded twice: half up, then half away from zero. */
static int32_t rescale(int32_t x, int32_t significand, int32_t shift) {
  const int64_t up = (int64_t)x * ((int64_t)1 << (shift > 0 ? shift : 0));
  const int64_t high = floor_shift(up * significand + ((int64_t)1 << 30), 31);
  const int32_t down = shift < 0 ? -shift : 0;
  if (down == 0) return (int32_t)high;
  return (int32_t)floor_shift(high + ((int64_t)1 << (down - 1)) - (high < 0), down);
}
"""

_CLAMP = """\
static int8_t clamped(int64_t x, int32_t low, int32_t high) {
  return (int8_t)(x < low ? low : x > high ? high : x);
}
"""

_TO_BYTES = """\
/* Integers of sums, rescaled for each channel in fixed point. */
static void bytes_of_$sums(const window_t *g, const void *in, const void *weights, int32_t zero, const int32_t *factor,
                           const int32_t *bias, const int32_t *significand, const int8_t *shift, int32_t zero_out, int32_t low,
                           int32_t high, int8_t *out) {
  int32_t oy, ox, o;
  for (oy = 0; oy < g->oh; oy++)
    for (ox = 0; ox < g->ow; ox++)
      for (o = 0; o < g->oc; o++) {
        const int32_t sum = sum_$sums(g, in, weights, zero, oy, ox, o) * factor[o] + bias[o];
        *out++ = clamped((int64_t)rescale(sum, significand[o], shift[o]) + zero_out, low, high);
      }
}
"""

_TO_BYTES_LINEAR = """\
/* Integers of the sums of a linear layer, rescaled in double precision and rounded once, half away from zero. */
static void linear_of_$sums(const window_t *g, const void *in, const void *weights, int32_t zero, const int32_t *factor,
                            const int32_t *bias, const double *scale, int32_t zero_out, int32_t low, int32_t high,
                            int8_t *out) {
  int32_t o;
  for (o = 0; o < g->oc; o++) {
    const int32_t sum = sum_$sums(g, in, weights, zero, 0, 0, o) * factor[o] + bias[o];
    volatile double real = (double)sum * scale[o]; /* volatile: rounded to a double, and not fused with what follows */
    volatile double rest;
    int32_t whole;
    if (real > 1000.0) real = 1000.0;
    if (real < -1000.0) real = -1000.0;
    whole = (int32_t)real;
    rest = real - (double)whole;
    if (rest >= 0.5) whole++;
    if (rest <= -0.5) whole--;
    *out++ = clamped((int64_t)whole + zero_out, low, high);
  }
}
"""

_POOL_SIGNS = """\
/* The largest sign of every window: whether any is +1. */
static void pool_signs(const window_t *g, const uint32_t *in, uint32_t *out) {
  const int32_t words = (g->c + 31) / 32;
  int32_t oy, ox, i, ky, kx;
  for (oy = 0; oy < g->oh; oy++)
    for (ox = 0; ox < g->ow; ox++)
      for (i = 0; i < words; i++) {
        uint32_t any = 0;
        for (ky = 0; ky < g->kh; ky++)
          for (kx = 0; kx < g->kw; kx++) {
            const int32_t y = oy * g->sh - g->ph + ky * g->dh, x = ox * g->sw - g->pw + kx * g->dw;
            if (y >= 0 && y < g->h && x >= 0 && x < g->w) any |= in[(size_t)(y * g->w + x) * (size_t)words + (size_t)i];
          }
        *out++ = any;
      }
}
"""

_POOL_BYTES = """\
/* The largest integer of every window. */
static void pool_bytes(const window_t *g, const int8_t *in, int8_t *out) {
  int32_t oy, ox, c, ky, kx;
  for (oy = 0; oy < g->oh; oy++)
    for (ox = 0; ox < g->ow; ox++)
      for (c = 0; c < g->c; c++) {
        int8_t most = -128;
        for (ky = 0; ky < g->kh; ky++)
          for (kx = 0; kx < g->kw; kx++) {
            const int32_t y = oy * g->sh - g->ph + ky * g->dh, x = ox * g->sw - g->pw + kx * g->dw;
            if (y >= 0 && y < g->h && x >= 0 && x < g->w) {
              const int8_t here = in[(size_t)(y * g->w + x) * (size_t)g->c + (size_t)c];
              if (here > most) most = here;
            }
          }
        *out++ = most;
      }
}
"""

_MEAN_BYTES = """\
/* The mean of every channel over the whole picture; the division is part of the multiplier. */
static void mean_bytes(const int8_t *in, int32_t pixels, int32_t channels, int32_t zero, int32_t significand, int32_t shift,
                       int32_t zero_out, int8_t *out) {
  int32_t c, i;
  for (c = 0; c < channels; c++) {
    int32_t sum = 0;
    for (i = 0; i < pixels; i++) sum += (int32_t)in[(size_t)i * (size_t)channels + (size_t)c] - zero;
    *out++ = clamped((int64_t)rescale(sum, significand, shift) + zero_out, -128, 127);
  }
}
"""

_SIGNS_OF_VALUES = """\
/* Signs of integers: +1 from the zero point on. */
static void signs_of_values(const int8_t *in, int32_t pixels, int32_t channels, int32_t zero, uint32_t *out) {
  int32_t i, c;
  for (i = 0; i < pixels; i++)
    for (c = 0; c < channels; c++, in++) {
      if (c % 32 == 0) out[c / 32] = 0;
      if (*in >= zero) out[c / 32] |= (uint32_t)1 << (c % 32);
      if (c == channels - 1) out += (channels + 31) / 32;
    }
}
"""

#: Name -> text and the names of what it calls, in an order in which everything is defined before it is called.
KERNELS: dict[str, tuple[str, tuple[str, ...]]] = {
    "window_t": (_GEOMETRY, ()),
    "ones": (_POPCOUNT, ()),
    "floor_shift": (_FLOOR_SHIFT, ()),
    "rescale": (_RESCALE, ("floor_shift",)),
    "clamped": (_CLAMP, ()),
    "sum_bits": (_SUM_BITS, ("window_t", "ones")),
    "sum_bytes": (_SUM_BYTES, ("window_t",)),
    "sum_mixed": (_SUM_MIXED, ("window_t",)),
    **{
        f"{function}_of_{sums}": (Template(text).substitute(sums=sums), (f"sum_{sums}", *calls))
        for function, text, calls in (
            ("signs", _TO_SIGNS, ()),
            ("bytes", _TO_BYTES, ("rescale", "clamped")),
            ("linear", _TO_BYTES_LINEAR, ("clamped",)),
        )
        for sums in ("bits", "bytes", "mixed")
    },
    "pool_signs": (_POOL_SIGNS, ("window_t",)),
    "pool_bytes": (_POOL_BYTES, ("window_t",)),
    "mean_bytes": (_MEAN_BYTES, ("rescale", "clamped")),
    "signs_of_values": (_SIGNS_OF_VALUES, ()),
    **ELEMENTWISE,
}


def functions(called: set[str]) -> str:
    """The text of these functions and of all that they call."""
    needed: set[str] = set()
    waiting = list(called)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += KERNELS[name][1]
    return "\n".join(text for name, (text, _) in KERNELS.items() if name in needed)
