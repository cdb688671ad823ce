/* Calls Larq Compute Engine's own kernels for a binary convolution between the marks that instructions are counted between.
 *
 * Compiled against a checkout of larq/compute-engine for 64-bit ARM. Of TensorFlow Lite its kernels need shapes, a rounding and
 * macros alone, which stand here; headers of these names are empty beside it (benchmarks/lce_arm64.py writes them).
 *
 *     lce_kernel CHANNELS SIZE KERNEL arm64|portable
 *
 * Prints how many of its outputs differ by more than one from plain loops: 0.
 */
#include <sys/resource.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

typedef enum { kTfLitePaddingUnknown = 0, kTfLitePaddingSame, kTfLitePaddingValid } TfLitePadding;
typedef struct {
  int width, height, width_offset, height_offset;
} TfLitePaddingValues;
#define TFLITE_DCHECK(x)
#define TFLITE_DCHECK_EQ(a, b)
#define TFLITE_DCHECK_GE(a, b)
#define TFLITE_ASSERT_FALSE
#define FLATBUFFERS_LITTLEENDIAN 1
namespace tflite {
struct RuntimeShape {
  std::vector<int> sizes;
  RuntimeShape(std::initializer_list<int> given) : sizes(given) {}
  int Dims(int axis) const { return sizes[axis]; }
};
inline int TfLiteRound(float x) { return (int)std::round(x); }
}  // namespace tflite
using tflite::RuntimeShape;
namespace ruy {
namespace profiler {
struct ScopeLabel {
  explicit ScopeLabel(const char*) {}
};
}  // namespace profiler
}  // namespace ruy

#include "larq_compute_engine/core/indirect_bgemm/kernel_4x2_portable.h"
#include "larq_compute_engine/core/indirect_bgemm/kernel_8x4x2_aarch64.h"
#include "larq_compute_engine/core/indirect_bgemm/kernel_8x4x4_aarch64.h"

using namespace compute_engine::core;

static void mark(int tag) { getpriority((__priority_which_t)77, (id_t)tag); }

int main(int, char** given) {
  const int channels = atoi(given[1]), size = atoi(given[2]), kernel = atoi(given[3]);
  const bool portable = std::string(given[4]) == "portable";
  const int out = size - kernel + 1, words = channels / 32, taps = kernel * kernel;
  bconv2d::BConv2DParams params{};
  params.filter_width = params.filter_height = kernel;
  params.channels_in = params.channels_out = channels;
  params.groups = params.stride_height = params.stride_width = 1;
  params.dilation_height_factor = params.dilation_width_factor = 1;
  params.padding_type = kTfLitePaddingValid;
  const RuntimeShape in_shape({1, size, size, words}), out_shape({1, out, out, channels});
  std::vector<int32_t> x(size * size * words + 16), w(channels * taps * words + 16);
  std::vector<int8_t> y(out * out * channels + 64);
  std::vector<float> factor(channels + 16, -1.0f / 16), offset(channels + 16, taps * channels / 16.0f);
  uint32_t state = 1;
  for (auto* values : {&x, &w})
    for (auto& value : *values) value = (int32_t)((state = state * 1664525u + 1013904223u) ^ (state >> 15));
  bconv2d::OutputTransform<int8_t> transform;
  transform.multiplier = factor.data();
  transform.bias = offset.data();
  transform.clamp_min = 0;
  transform.clamp_max = 2 * taps * channels;
  std::unique_ptr<indirect_bgemm::Kernel> engine;
  if (portable)
    engine.reset(new indirect_bgemm::Kernel4x2Portable<int8_t>(&params, in_shape, out_shape, transform));
  else if (words % 4 == 0 && words > 4)
    engine.reset(new indirect_bgemm::Kernel8x4x4Aarch64<int8_t, true, false>(&params, in_shape, out_shape, transform));
  else
    engine.reset(new indirect_bgemm::Kernel8x4x2Aarch64<int8_t, false, false>(&params, in_shape, out_shape, transform));
  engine->PackWeights(w.data());
  engine->FillIndirectionBuffer(&params, in_shape, out_shape, x.data());
  mark(1000);
  mark(1001);
  for (int call = 0; call < 3; call++) {
    mark(2 * call);
    engine->Dispatch(y.data());
    mark(2 * call + 1);
  }
  int wrong = 0;
  for (int i = 0; i < out * out * channels; i++) {
    const int row = i / channels / out, column = i / channels % out, o = i % channels;
    int differ = 0;
    for (int tap = 0; tap < taps; tap++)
      for (int k = 0; k < words; k++)
        differ += __builtin_popcount(x[((row + tap / kernel) * size + column + tap % kernel) * words + k] ^
                                     w[(o * taps + tap) * words + k]);
    const int real = (int)std::round(2.0f * differ * factor[o] + offset[o]);
    const int wanted = real > 127 ? 127 : real < -128 ? -128 : real;
    wrong += abs(y[i] - wanted) > 1;
  }
  printf("%d\n", wrong);
  return 0;
}
