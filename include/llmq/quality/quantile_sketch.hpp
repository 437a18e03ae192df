// Percentiles of many values without keeping them: counts in bins of equal relative width. Counts are whole
// numbers, so sketches of parts merge to the same bins in any order and grouping. SPDX-License-Identifier:
// Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

namespace llmq {

/// A bin is what values share in sign, exponent and the first 11 bits of the mantissa: 2^-11 of a value wide,
/// so that a percentile is off by 2^-12 (0.025 %) at most. Values below 2^-60 count as 0. Smallest and
/// largest are exact.
class QuantileSketch {
 public:
  /// @param value  finite
  void add(double value);
  void merge(const QuantileSketch& other);

  std::uint64_t count() const noexcept { return count_; }
  double min() const noexcept { return min_; }  ///< 0 of none, as max()
  double max() const noexcept { return max_; }
  /// The value at position fraction (count - 1) of the sorted values, linear between neighbours; 0 of none.
  double quantile(double fraction) const;

  /// For the way between ranks.
  std::vector<std::uint64_t> words() const;
  static QuantileSketch from_words(std::span<const std::uint64_t> words);

  friend bool operator==(const QuantileSketch&, const QuantileSketch&) = default;

 private:
  double value_at(std::uint64_t rank) const;

  std::map<std::int32_t, std::uint64_t> bins_;  ///< ascending as the values do
  std::uint64_t count_ = 0;
  double min_ = 0, max_ = 0;
};

}  // namespace llmq
