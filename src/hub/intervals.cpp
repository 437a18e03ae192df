#include "hub/intervals.hpp"

#include <algorithm>

namespace llmq::hub {
namespace {
constexpr std::uint64_t kLeastPiece = std::uint64_t{2} << 20;
constexpr std::uint64_t kMostPiece = std::uint64_t{64} << 20;
}  // namespace

void Intervals::add(Interval interval) {
  if (interval.begin >= interval.end) return;
  auto next = ends_.upper_bound(interval.begin);
  if (next != ends_.begin() && std::prev(next)->second >= interval.begin) {
    --next;
    interval.begin = next->first;
    interval.end = std::max(interval.end, next->second);
    next = ends_.erase(next);
  }
  while (next != ends_.end() && next->first <= interval.end) {
    interval.end = std::max(interval.end, next->second);
    next = ends_.erase(next);
  }
  ends_[interval.begin] = interval.end;
}

std::uint64_t Intervals::total() const noexcept {
  std::uint64_t bytes = 0;
  for (const auto& [begin, end] : ends_) bytes += end - begin;
  return bytes;
}

std::vector<Interval> Intervals::missing(std::uint64_t size) const {
  std::vector<Interval> gaps;
  std::uint64_t at = 0;
  for (const auto& [begin, end] : ends_) {
    if (begin >= size) break;
    if (begin > at) gaps.push_back({at, begin});
    at = std::max(at, end);
  }
  if (at < size) gaps.push_back({at, size});
  return gaps;
}

std::uint64_t piece_bytes(std::uint64_t size) noexcept {
  return std::clamp(size / 16, kLeastPiece, kMostPiece);
}

std::vector<Interval> plan_requests(const std::vector<Interval>& missing, std::uint64_t piece) {
  std::vector<Interval> requests;
  for (const Interval& gap : missing)
    for (std::uint64_t at = gap.begin; at < gap.end; at += piece)
      requests.push_back({at, std::min(gap.end, at + piece)});
  return requests;
}

}  // namespace llmq::hub
