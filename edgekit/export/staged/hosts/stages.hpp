// @NAME@_stages.hpp: written by edgekit. Runs a network with early exits stage by stage, until one is sure enough. C++17.
//
//   One stage::Runner a file, in the runtime of your choice; then, for one sample:
//     stage::Tensors tensors{{"x", bytes}}, outputs;
//     int answered = stage::run(runners, tensors, outputs);   // -1: a runner failed
//   A host that schedules by itself calls stage::step for one stage at a time and keeps `tensors` between.
#ifndef @GUARD@
#define @GUARD@

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <vector>

namespace @NAME@::stage {

// Tensors by name, as the files lay them out, in the machine's own byte order.
using Tensors = std::map<std::string, std::vector<std::uint8_t>>;

// One stage's file in a runtime.
class Runner {
 public:
  virtual ~Runner() = default;
  // Sets an input, runs the file once, reads an output of `size` bytes; false where that fails.
  virtual bool set(const char* name, const void* bytes, std::size_t size) = 0;
  virtual bool invoke() = 0;
  virtual bool get(const char* name, void* bytes, std::size_t size) = 0;
};

enum class Type { kFloat32, kInt8, kUInt8, kInt16, kOther };
enum class Score { kConfidence, kMargin, kEntropy };
enum class Step { kUnsure, kAnswered, kFailed };

struct Tensor {
  const char* name;
  Type type;
  std::size_t bytes;
  float scale;  // real = scale * (stored - zero_point); 0 where the tensor is not quantised
  int zero_point;
};

struct Answer {
  const char* output;  // of the network
  const char* tensor;  // of this stage
};

struct Stage {
  const char* file;
  std::vector<Tensor> inputs, outputs;
  std::vector<Answer> answers;
  std::size_t logits;  // which output is scored
  float temperature;
  float threshold;  // above it the stage answers
  bool last;        // always answers
};

@TABLES@
// What a stored tensor stands for.
inline std::vector<float> real(const Tensor& tensor, const std::vector<std::uint8_t>& bytes) {
  const std::size_t width = tensor.type == Type::kFloat32 ? 4 : tensor.type == Type::kInt16 ? 2 : 1;
  std::vector<float> values(bytes.size() / width);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (tensor.type == Type::kFloat32) {
      std::memcpy(&values[i], &bytes[4 * i], 4);
      continue;
    }
    std::int16_t wide = 0;
    if (tensor.type == Type::kInt16) std::memcpy(&wide, &bytes[2 * i], 2);
    const int stored = tensor.type == Type::kInt16  ? wide
                       : tensor.type == Type::kInt8 ? static_cast<std::int8_t>(bytes[i])
                                                    : bytes[i];
    values[i] = static_cast<float>(stored - tensor.zero_point) * tensor.scale;
  }
  return values;
}

// How sure an exit is, from 0 to 1: of p = softmax(logits / temperature) the largest, the largest less the second, or
// 1 - H(p) / log(classes).
inline float certainty(std::vector<float> values, Score score, float temperature) {
  float top = -INFINITY, total = 0.0F;
  for (float& value : values) top = std::max(top, value *= 1.0F / temperature);
  for (float& value : values) total += std::exp(value -= top);
  if (score == Score::kEntropy) {
    double sum = 0.0;
    for (float value : values) sum += std::exp(value) / total * (value - std::log(total));
    return static_cast<float>(1.0 + sum / std::log(static_cast<double>(values.size())));
  }
  for (float& value : values) value = std::exp(value) / total;
  std::partial_sort(values.begin(), values.begin() + 2, values.end(), [](float a, float b) { return a > b; });
  return score == Score::kMargin ? values[0] - values[1] : values[0];
}

// One stage: reads of `tensors` what it needs, adds what it gives, and sets the network's outputs as far as it knows them.
inline Step step(const Stage& stage, Runner& runner, Tensors& tensors, Tensors& outputs) {
  for (const Tensor& input : stage.inputs) {
    const auto found = tensors.find(input.name);
    if (found == tensors.end() || found->second.size() != input.bytes) return Step::kFailed;
    if (!runner.set(input.name, found->second.data(), input.bytes)) return Step::kFailed;
  }
  if (!runner.invoke()) return Step::kFailed;
  for (const Tensor& output : stage.outputs) {
    std::vector<std::uint8_t>& bytes = tensors[output.name];
    bytes.resize(output.bytes);
    if (!runner.get(output.name, bytes.data(), output.bytes)) return Step::kFailed;
  }
  for (const Answer& answer : stage.answers) outputs[answer.output] = tensors[answer.tensor];
  if (stage.last) return Step::kAnswered;
  const Tensor& logits = stage.outputs[stage.logits];
  const float sure = certainty(real(logits, tensors[logits.name]), kScore, stage.temperature);
  return sure > stage.threshold ? Step::kAnswered : Step::kUnsure;
}

// One sample through as many stages as it needs; which one answered, -1 where a runner failed.
inline int run(const std::vector<Runner*>& runners, Tensors& tensors, Tensors& outputs) {
  const std::vector<Stage>& all = stages();
  for (std::size_t i = 0; i < all.size() && i < runners.size(); ++i) {
    const Step came = step(all[i], *runners[i], tensors, outputs);
    if (came != Step::kUnsure) return came == Step::kAnswered ? static_cast<int>(i) : -1;
  }
  return -1;
}

}  // namespace @NAME@::stage

#endif  // @GUARD@
