#include "llmq/smoothquant/scales.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/half.hpp"

namespace llmq {
namespace {

constexpr double kSmallestScale = 1e-5;

float as_stored(float value, DType type) {
  switch (type) {
    case DType::BF16:
      return bf16_to_f32(f32_to_bf16(value));
    case DType::F16:
      return f16_to_f32(f32_to_f16(value));
    default:
      return value;
  }
}

}  // namespace

std::vector<float> smooth_scales(const ChannelRanges& ranges, double alpha) {
  if (ranges.input.size() != ranges.weight.size()) throw InternalError("smooth_scales: sizes differ");
  std::vector<float> scales(ranges.input.size(), 1.0F);
  for (std::size_t j = 0; j < scales.size(); ++j) {
    const auto input = static_cast<double>(ranges.input[j]), weight = static_cast<double>(ranges.weight[j]);
    if (!std::isfinite(input) || !std::isfinite(weight))
      throw Error(ExitCode::smoothquant, fmt::format("the range of channel {} is not finite", j));
    if (input > 0 && weight > 0)
      scales[j] =
          static_cast<float>(std::max(kSmallestScale, std::pow(input, alpha) / std::pow(weight, 1 - alpha)));
  }
  return scales;
}

std::vector<float> scales_of_stored_norm(std::span<float> norm, std::span<const float> scales, DType type,
                                         float offset) {
  if (norm.size() != scales.size()) throw InternalError("scales_of_stored_norm: sizes differ");
  std::vector<float> exact(scales.begin(), scales.end());
  for (std::size_t j = 0; j < norm.size(); ++j) {
    if (norm[j] == 0) continue;
    float stored = as_stored(norm[j] / scales[j] - offset, type) + offset;
    // Nothing can be multiplied so that 0 or Inf becomes the norm again: such a channel is not scaled.
    if (stored == 0 || !std::isfinite(stored)) stored = as_stored(norm[j] - offset, type) + offset;
    exact[j] = stored == 0 ? 1.0F : norm[j] / stored;
    norm[j] = stored;
  }
  return exact;
}

}  // namespace llmq
