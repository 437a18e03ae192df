// The largest value of each of many sets that have values in common, with fewer comparisons than one set
// after the other would take. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace llmq {

/// A plan of comparisons. Values stand in places: the given ones at 0..values-1, then the larger ones of
/// pairs of earlier places. Pairs that several sets hold are compared once for all of them.
class SharedMaxima {
 public:
  using Place = std::uint16_t;
  struct Pair {
    Place a = 0, b = 0;
  };

  /// @param values  how many there are   @param sets  numbers of values below it, ascending
  SharedMaxima(std::size_t values, std::vector<std::vector<Place>> sets);

  std::size_t values() const noexcept { return values_; }
  std::size_t places() const noexcept { return values_ + pairs_.size(); }
  /// Place values() + i holds the larger one of pair i.
  std::span<const Pair> pairs() const noexcept { return pairs_; }
  /// The places whose largest value is that of a set: no two sets hold the same two of them.
  std::span<const Place> left(std::size_t set) const noexcept { return left_[set]; }

 private:
  std::size_t values_;
  std::vector<Pair> pairs_;
  std::vector<std::vector<Place>> left_;
};

}  // namespace llmq
