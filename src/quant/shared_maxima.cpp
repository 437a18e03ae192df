#include "quant/shared_maxima.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

namespace llmq {
namespace {

using Set = std::vector<SharedMaxima::Place>;
using Members = std::pair<SharedMaxima::Place, SharedMaxima::Place>;

bool holds(const Set& set, SharedMaxima::Place place) { return std::ranges::binary_search(set, place); }

/// The pair that most sets hold, if at least two do; the first of equals.
std::optional<Members> most_frequent_pair(const std::vector<Set>& sets) {
  std::map<Members, std::size_t> counts;
  for (const Set& set : sets) {
    for (std::size_t i = 0; i < set.size(); ++i) {
      for (std::size_t j = i + 1; j < set.size(); ++j) ++counts[{set[i], set[j]}];
    }
  }
  const auto most = std::ranges::max_element(counts, {}, [](const auto& entry) { return entry.second; });
  if (most == counts.end() || most->second < 2) return std::nullopt;
  return most->first;
}

}  // namespace

SharedMaxima::SharedMaxima(std::size_t values, std::vector<Set> sets)
    : values_(values), left_(std::move(sets)) {
  while (const std::optional<Members> common = most_frequent_pair(left_)) {
    const Place a = common->first, b = common->second;
    const auto larger = static_cast<Place>(places());
    pairs_.push_back({a, b});
    for (Set& set : left_) {
      if (!holds(set, a) || !holds(set, b)) continue;
      std::erase_if(set, [a, b](Place place) { return place == a || place == b; });
      set.push_back(larger);  // above all places so far: the set stays ascending
    }
  }
}

}  // namespace llmq
