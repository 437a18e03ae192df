// Products of f32 matrices through 8-bit integers, for where 15 bits of a value suffice: each value becomes
// two digits, high and low, and three exact products of digits are summed (low by low is left out). About
// 1e-4 of a product's size is lost; where int8_products_are_quick it takes less time than f32. The same
// bits on every instruction set. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "llmq/quant/int8_product.hpp"

namespace llmq {

/// A value too large for its row's digits: beyond kSplitOutlier times the root mean square of the row. It
/// stands apart, in f32, and costs the others no precision.
struct SplitOutlier {
  std::uint32_t row;
  std::uint32_t column;
  float value;
};
inline constexpr float kSplitOutlier = 24;

/// Weights as digits: weight (output, input) is about scale x (256 high + low), outliers aside. 2 bytes a
/// weight.
class SplitWeights {
 public:
  /// All zero. @throws Error(validation) for no features or more than kInt8InFeatures inputs.
  SplitWeights(std::size_t out_features, std::size_t in_features);

  /// Fills in some outputs. An output with NaN or Inf makes products that are NaN.
  /// @param weights  [outputs, in_features]
  void set_outputs(std::size_t first, std::span<const float> weights);

  std::size_t out_features() const noexcept { return high_.out_features(); }
  std::size_t in_features() const noexcept { return high_.in_features(); }
  std::uint64_t bytes() const noexcept;
  const Int8Weights& high() const noexcept { return high_; }
  const Int8Weights& low() const noexcept { return low_; }
  std::span<const SplitOutlier> outliers() const noexcept { return outliers_; }

 private:
  Int8Weights high_, low_;  // scales 256 s and s
  std::vector<SplitOutlier> outliers_;
};

/// y [rows, out_features] = or += x w^T + bias. One thread; thread-safe. Rows with NaN or Inf come out as
/// NaN.
/// @param x     [rows, in_features]
/// @param bias  empty or one value an output
void split_matmul(std::span<const float> x, const SplitWeights& w, std::span<const float> bias,
                  std::span<float> y, Int8Output output = Int8Output::replace);

}  // namespace llmq
