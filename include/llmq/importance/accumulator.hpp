// Sums over matmul inputs whose result does not depend on who added what, when, or in which order.
// A sample's contribution is a f64 partial in token order, converted once to 128-bit fixed point; from then
// on only integers are added. Ranges: docs/formats/imatrix-hdf5.md. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "llmq/core/int128.hpp"

namespace llmq {

/// Fixed-point positions. |sum| < 2^(126 - bits): 7e19 for a and a^2 (steps of 9e-19), 8e25 for a^4 (steps of
/// 9e-13).
inline constexpr int kSumFractionBits = 60;
inline constexpr int kQuadFractionBits = 40;

/// Statistics of one matmul input over some set of samples.
class InputAccumulator {
 public:
  InputAccumulator() = default;
  explicit InputAccumulator(std::size_t in_features);

  /// Adds one whole sample.   sum_j += sum_t x[t][j], likewise squares and fourth powers; max_j = max
  /// |x[t][j]|
  /// @param x  [tokens, in_features] row-major f32.  @throws Error(importance) on NaN, Inf or overflow.
  /// Local.
  void add_sample(std::span<const float> x);
  /// Adds what another accumulator of the same input has seen (other samples).
  void add(const InputAccumulator& other);
  void clear();

  std::size_t in_features() const noexcept { return max_abs.size(); }

  std::vector<Int128> sum_sq;
  std::vector<Int128> sum;
  std::vector<Int128> sum_quad;
  std::vector<float> max_abs;
  std::uint64_t count = 0;  ///< token rows
};

}  // namespace llmq
