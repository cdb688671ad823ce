"""The C functions that a network is made of. Only those that it calls are written into its file.

A picture is held row by row, the channels of a pixel together: integers one a byte, signs one a bit (1 for +1), 32 to a word,
each pixel beginning a word. A linear layer is a convolution whose window is the whole picture. What lies outside of the picture
adds nothing to a sum, whatever the inputs are.
"""

from __future__ import annotations

from string import Template

from edgekit.export.c_binary.elementwise_kernels import ELEMENTWISE
from edgekit.export.c_binary.sum_kernels import SUMS

_TO_SIGNS = """\
/* Signs of sums: +1 from a threshold of each channel on. */
static void signs_of_$sums(const window_t *g, const void *in, const void *weights, int32_t zero, const int32_t *least,
                           uint32_t *out) {
  int32_t oy, ox, o;
  for (oy = 0; oy < g->oh; oy++)
    for (ox = 0; ox < g->ow; ox++) {
      const taps_t t = taps_at(g, oy, ox);
      for (o = 0; o < g->oc; o += 32, out++) {
        int32_t i;
        uint32_t word = 0;
        for (i = 0; i < 32 && o + i < g->oc; i++)
          if (sum_$sums(g, &t, in, weights, zero, o + i) >= least[o + i]) word |= (uint32_t)1 << i;
        *out = word;
      }
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
    for (ox = 0; ox < g->ow; ox++) {
      const taps_t t = taps_at(g, oy, ox);
      for (o = 0; o < g->oc; o++) {
        const int32_t sum = sum_$sums(g, &t, in, weights, zero, o) * factor[o] + bias[o];
        *out++ = clamped((int64_t)rescale(sum, significand[o], shift[o]) + zero_out, low, high);
      }
    }
}
"""

_TO_BYTES_LINEAR = """\
/* Integers of the sums of a linear layer, rescaled in double precision and rounded once, half away from zero. */
static void linear_of_$sums(const window_t *g, const void *in, const void *weights, int32_t zero, const int32_t *factor,
                            const int32_t *bias, const double *scale, int32_t zero_out, int32_t low, int32_t high,
                            int8_t *out) {
  const taps_t t = taps_at(g, 0, 0);
  int32_t o;
  for (o = 0; o < g->oc; o++) {
    const int32_t sum = sum_$sums(g, &t, in, weights, zero, o) * factor[o] + bias[o];
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
    **SUMS,
    "floor_shift": (_FLOOR_SHIFT, ()),
    "rescale": (_RESCALE, ("floor_shift",)),
    "clamped": (_CLAMP, ()),
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
