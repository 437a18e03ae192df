#include <algorithm>
#include <numeric>

#include "llmq/core/text.hpp"
#include "llmq/hub/cache.hpp"

namespace llmq::hub {
namespace {

constexpr std::size_t kMostShown = 3;

/// Insertions, deletions and replacements that lead from one text to the other.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t k = 1; k <= b.size(); ++k) {
      const std::size_t above = row[k];
      row[k] = std::min({above + 1, row[k - 1] + 1, diagonal + (a[i - 1] == b[k - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row.back();
}

std::string name_of(const std::string& repository) { return repository.substr(repository.find('/') + 1); }

}  // namespace

std::vector<std::string> near_names(std::string_view wanted, const std::vector<std::string>& known) {
  const std::string text = to_lower(wanted);
  std::vector<std::pair<std::size_t, std::string>> near;
  for (const std::string& one : known) {
    const std::string other = to_lower(one);
    // The right name under another organization is as near as a slip of the pen.
    const std::size_t distance = name_of(other) == name_of(text) ? 1 : edit_distance(text, other);
    if (distance <= std::max<std::size_t>(2, text.size() / 4)) near.emplace_back(distance, one);
  }
  std::sort(near.begin(), near.end());
  if (near.size() > kMostShown) near.resize(kMostShown);
  std::vector<std::string> names;
  for (auto& [distance, name] : near) names.push_back(std::move(name));
  return names;
}

}  // namespace llmq::hub
