// TQ1_0, TQ2_0: levels -d, 0, +d. SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "llmq/core/half.hpp"

#include "quant/blocks.hpp"
#include "quant/group_search.hpp"
#include "quant/reference/decode_blocks.hpp"
#include "quant/reference/families.hpp"
#include "quant/ternary_choice.hpp"

namespace llmq {
namespace {

using blocks::kSuper;

/// Trit n (0 first) of a byte that holds five of them as a fixed-point fraction of 3^5.
int trit(std::uint8_t byte, std::size_t n) {
  constexpr std::uint8_t kPowers[] = {1, 3, 9, 27, 81};
  const auto shifted = static_cast<std::uint8_t>(byte * kPowers[n]);
  return (shifted * 3) >> 8;
}

void decode_tq1_0(const blocks::TQ1_0& block, float* out) {
  const float d = f16_to_f32(block.d);
  for (std::size_t i = 0; i < kSuper; ++i) {
    int t = 0;
    if (i < 160) {
      t = trit(block.qs[i % 32], i / 32);
    } else if (i < 240) {
      t = trit(block.qs[32 + (i - 160) % 16], (i - 160) / 16);
    } else {
      t = trit(block.qh[(i - 240) % 4], (i - 240) / 4);
    }
    out[i] = d * static_cast<float>(t - 1);
  }
}

void decode_tq2_0(const blocks::TQ2_0& block, float* out) {
  const float d = f16_to_f32(block.d);
  for (std::size_t i = 0; i < kSuper; ++i) out[i] = d * static_cast<float>(two_bits(block.qs, i) - 1);
}

/// Sums over the magnitudes above a threshold, sixteen side by side.
struct AboveThreshold {
  AboveThreshold(const float* x, const float* weights, float threshold) noexcept {
    std::array<float, kPartialSums> partial_x{}, partial_w{};
    for (std::size_t i = 0; i < kSuper; ++i) {
      const float magnitude = std::fabs(x[i]);
      if (!(magnitude > threshold)) continue;
      partial_x[i % kPartialSums] += weights[i] * magnitude;
      partial_w[i % kPartialSums] += weights[i];
    }
    sum_x = tree_sum(partial_x);
    sum_w = tree_sum(partial_w);
  }
  float sum_x = 0, sum_w = 0;
};

/// The scale, before it is rounded to half precision.
float ternary_scale(const float* x, const float* weights) noexcept {
  float top = 0;
  for (std::size_t i = 0; i < kSuper; ++i) top = std::max(top, std::fabs(x[i]));
  if (!(top >= kZeroGroup)) return 0;
  float best = 0, best_gain = 0;
  const auto try_threshold = [&](float threshold) {
    const AboveThreshold above(x, weights, threshold);
    const float d = above.sum_x / above.sum_w;
    const float gain = d * above.sum_x;  // how much of sum w x^2 is explained
    if (above.sum_w > 0 && gain > best_gain) best = d, best_gain = gain;
  };
  for (const float part : kTernaryThresholds) try_threshold(top * part);
  for (int refit = 0; refit < kTernaryRefits; ++refit) try_threshold(0.5F * best);
  return best;
}

template <typename Block>
void encode_ternary(std::span<const float> row, std::span<const float> importance,
                    std::span<std::byte> out) noexcept {
  for (std::size_t index = 0; index < row.size() / kSuper; ++index) {
    const float* x = row.data() + index * kSuper;
    float weights[kSuper];
    weigh_block<kSuper, kSuper>(kTernaryObjective, x, importance_of(importance, index * kSuper, kSuper), 0,
                                weights);
    TernaryChoice choice;
    const float d = half_of(ternary_scale(x, weights));
    choice.d = f32_to_f16(d);
    for (std::size_t i = 0; i < kSuper; ++i) {
      const bool counts = std::fabs(x[i]) > 0.5F * d;
      choice.trits[i] = static_cast<std::uint8_t>(!counts ? 1 : x[i] < 0 ? 0 : 2);
    }
    Block block{};
    packing::pack(choice, block);
    std::memcpy(out.data() + index * sizeof block, &block, sizeof block);
  }
}

}  // namespace

const std::array<Codec, 2> kTernaryCodecs = {{
    {GgmlType::TQ1_0, &decode_blocks<blocks::TQ1_0, kSuper, &decode_tq1_0>, &encode_ternary<blocks::TQ1_0>},
    {GgmlType::TQ2_0, &decode_blocks<blocks::TQ2_0, kSuper, &decode_tq2_0>, &encode_ternary<blocks::TQ2_0>},
}};

}  // namespace llmq
