// Sums over samples of what the loss says of single weights, reduced to columns and rows. As with matmul
// inputs, a sample's contribution is a f64 partial in a fixed order, converted once to fixed point: who added
// what, when, does not matter. Definitions: docs/formats/imatrix-hdf5.md. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "llmq/core/int128.hpp"
#include "llmq/importance/method.hpp"

namespace llmq {

/// |sum| < 2^26 in steps of 8e-31: gradients are small, and their squares smaller.
inline constexpr int kSensitivityFractionBits = 100;

/// One weight, one sample, while the rows of its gradient go by.
class SensitivitySample {
 public:
  /// Rows [first_row, ...) of weights and gradient, [rows, in_features] each, in ascending order from row 0
  /// on.
  void add_rows(ImportanceMethod method, std::size_t first_row, std::size_t out_features,
                std::size_t in_features, std::span<const float> weights, std::span<const float> gradient);
  bool complete() const noexcept { return !rows_.empty() && seen_ == rows_.size(); }
  bool untouched() const noexcept { return rows_.empty(); }

 private:
  friend class SensitivityAccumulator;
  std::vector<double> columns_;  ///< sums over rows so far
  std::vector<double> rows_;     ///< sums over columns
  std::size_t seen_ = 0;
};

/// Statistics of one weight over some set of samples.
class SensitivityAccumulator {
 public:
  SensitivityAccumulator() = default;
  SensitivityAccumulator(std::size_t in_features, std::size_t out_features);

  /// Adds a complete sample: means over rows and columns. @throws Error(importance) on NaN, Inf or overflow.
  void add_sample(const SensitivitySample& sample);
  /// A sample of whose loss the weight has no part: an expert no token was given to.
  void add_sample_without() noexcept { ++samples; }
  void add(const SensitivityAccumulator& other);
  void clear();

  std::vector<Int128> columns;  ///< [in_features]
  std::vector<Int128> rows;     ///< [out_features], in the order the rows went by
  std::uint64_t samples = 0;
};

}  // namespace llmq
