"""C functions that work value by value: activations, sums, products with one constant a channel.

Each computes what the simulation computes, in the same fixed point (``edgekit.ir.integer``).
"""

from __future__ import annotations

_LOOKED_UP = """\
/* A function of one integer, as a table from -128 on. */
static void looked_up(const int8_t *in, int32_t count, const int8_t *table, int8_t *out) {
  int32_t i;
  for (i = 0; i < count; i++) out[i] = table[(int32_t)in[i] + 128];
}
"""

_PRELU_VALUES = """\
/* Rescaled from the zero point on; below it times the slope of the channel. */
static void prelu_values(const int8_t *in, int32_t pixels, int32_t channels, int32_t zero, int32_t significand, int32_t shift,
                         const int16_t *slope, int32_t significand_below, int32_t shift_below, int32_t zero_out, int8_t *out) {
  int32_t i, c;
  for (i = 0; i < pixels; i++)
    for (c = 0; c < channels; c++) {
      const int32_t v = (int32_t)*in++ - zero;
      const int32_t y = v >= 0 ? rescale(v, significand, shift) : rescale(v * slope[c], significand_below, shift_below);
      *out++ = clamped((int64_t)y + zero_out, -128, 127);
    }
}
"""

_ADDED_CHANNELS = """\
/* A number of each channel and the values, or the values' negative (side), on a common finer scale; then rescaled. */
static void added_channels(const int8_t *in, int32_t pixels, int32_t channels, int32_t zero, int32_t side,
                           int32_t significand_in, int32_t shift_in, const int32_t *other, int32_t significand, int32_t shift,
                           int32_t zero_out, int32_t low, int32_t high, int8_t *out) {
  int32_t i, c;
  for (i = 0; i < pixels; i++)
    for (c = 0; c < channels; c++) {
      const int32_t v = rescale(((int32_t)*in++ - zero) * 1048576, significand_in, shift_in);
      *out++ = clamped((int64_t)rescale(side * v + other[c], significand, shift) + zero_out, low, high);
    }
}
"""

_ADDED = """\
/* The sum of two pictures, or their difference (side): both on a common finer scale, then rescaled. */
static void added(const int8_t *a, const int8_t *b, int32_t count, int32_t side, int32_t zero_a, int32_t significand_a,
                  int32_t shift_a, int32_t zero_b, int32_t significand_b, int32_t shift_b, int32_t significand, int32_t shift,
                  int32_t zero_out, int32_t low, int32_t high, int8_t *out) {
  int32_t i;
  for (i = 0; i < count; i++) {
    const int32_t v = rescale(((int32_t)a[i] - zero_a) * 1048576, significand_a, shift_a);
    const int32_t w = rescale(((int32_t)b[i] - zero_b) * 1048576, significand_b, shift_b);
    out[i] = clamped((int64_t)rescale(v + side * w, significand, shift) + zero_out, low, high);
  }
}
"""

_MULTIPLIED_CHANNELS = """\
/* The values times a number of each channel, rescaled. */
static void multiplied_channels(const int8_t *in, int32_t pixels, int32_t channels, int32_t zero, const int16_t *other,
                                int32_t significand, int32_t shift, int32_t zero_out, int32_t low, int32_t high, int8_t *out) {
  int32_t i, c;
  for (i = 0; i < pixels; i++)
    for (c = 0; c < channels; c++) {
      const int32_t product = ((int32_t)*in++ - zero) * other[c];
      *out++ = clamped((int64_t)rescale(product, significand, shift) + zero_out, low, high);
    }
}
"""

#: Name -> text and the names of what it calls.
ELEMENTWISE: dict[str, tuple[str, tuple[str, ...]]] = {
    "looked_up": (_LOOKED_UP, ()),
    "prelu_values": (_PRELU_VALUES, ("rescale", "clamped")),
    "added_channels": (_ADDED_CHANNELS, ("rescale", "clamped")),
    "added": (_ADDED, ("rescale", "clamped")),
    "multiplied_channels": (_MULTIPLIED_CHANNELS, ("rescale", "clamped")),
}
