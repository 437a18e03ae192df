// Where an importance matrix says nothing, and how its entries become the matrices of a tensor.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "llmq/core/text.hpp"
#include "llmq/formats/imatrix.hpp"

namespace llmq {
namespace {

std::uint64_t count_zeros(const ImatrixEntry& entry, std::uint64_t mat) {
  const auto row = entry.importance_sums().begin() + static_cast<std::ptrdiff_t>(mat * entry.in_features);
  return static_cast<std::uint64_t>(
      std::count(row, row + static_cast<std::ptrdiff_t>(entry.in_features), 0.0));
}

}  // namespace

ImatrixGaps find_gaps(const Imatrix& imatrix) {
  ImatrixGaps gaps;
  for (const auto& [name, entry] : imatrix.entries) {
    std::uint64_t dead = 0;
    for (std::uint64_t mat = 0; mat < entry.n_mat; ++mat) {
      if (entry.importance_count(mat) != 0) {
        dead += count_zeros(entry, mat);
      } else {
        gaps.without_tokens.push_back(entry.n_mat == 1 ? name : fmt::format("{}[{}]", name, mat));
      }
    }
    if (dead > 0) gaps.dead_columns[name] = dead;
  }
  return gaps;
}

std::uint64_t ImatrixGaps::count_dead_columns() const noexcept {
  std::uint64_t count = 0;
  for (const auto& [name, dead] : dead_columns) count += dead;
  return count;
}

std::vector<std::string> ImatrixGaps::lines() const {
  std::vector<std::string> lines;
  if (!dead_columns.empty()) {
    std::vector<std::string> names;
    for (const auto& [name, dead] : dead_columns) names.push_back(fmt::format("{} ({})", name, dead));
    lines.push_back(fmt::format("columns that were 0 for every token and so have no importance: {} in {}",
                                format_count(count_dead_columns()), join_some(names)));
  }
  if (!without_tokens.empty()) {
    lines.push_back(
        fmt::format("matrices that saw no token and get the mean of the other experts (all columns alike "
                    "where there is none): {}",
                    join_some(without_tokens)));
  }
  return lines;
}

std::optional<ImatrixEntry> fit_entry(const ImatrixEntry& entry, std::uint64_t in_features,
                                      std::uint64_t n_mat) {
  if (entry.in_features == in_features && entry.n_mat == n_mat) return entry;
  const bool one_row = entry.n_mat == 1 && n_mat > 1 && entry.in_features % n_mat == 0 &&
                       entry.in_features / n_mat == in_features && entry.sensitivity.empty();
  if (!one_row) return std::nullopt;
  ImatrixEntry cut = entry;
  cut.in_features = in_features;
  cut.n_mat = n_mat;
  cut.counts.assign(n_mat, entry.counts.at(0));
  return cut;
}

}  // namespace llmq
