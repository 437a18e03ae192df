// Which bytes of a file are there, and how the others are asked for. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <vector>

namespace llmq::hub {

/// Bytes [begin, end).
struct Interval {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;

  std::uint64_t size() const noexcept { return end - begin; }
  bool operator==(const Interval&) const = default;
};

/// A set of bytes; touching and overlapping intervals become one.
class Intervals {
 public:
  void add(Interval interval);
  std::uint64_t total() const noexcept;
  /// What of [0, size) is not in the set, in order.
  std::vector<Interval> missing(std::uint64_t size) const;

 private:
  std::map<std::uint64_t, std::uint64_t> ends_;  ///< by begin
};

/// Bytes of one request for a file of `size`: a sixteenth of it, within [2 MiB, 64 MiB]. Files of gigabytes
/// get few requests, and four connections never wait long for the last one.
std::uint64_t piece_bytes(std::uint64_t size) noexcept;

/// The missing bytes in pieces of at most `piece`, in order.
/// Example: missing {[0, 5), [9, 10)}, piece 3 -> [0, 3), [3, 5), [9, 10).
std::vector<Interval> plan_requests(const std::vector<Interval>& missing, std::uint64_t piece);

}  // namespace llmq::hub
