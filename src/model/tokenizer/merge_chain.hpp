// Symbols of a word in a linked list, merged pair by pair in the order of a priority queue. Shared by both
// algorithms: they differ in what makes a pair good.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <queue>
#include <string_view>
#include <vector>

namespace llmq {

/// One symbol: a stretch of the text. Merged-away symbols have length 0.
struct Symbol {
  std::size_t begin = 0;
  std::size_t length = 0;
  std::int32_t previous = -1;
  std::int32_t next = -1;
};

struct MergeCandidate {
  float priority = 0;  ///< higher merges first
  std::int32_t left = -1;
  std::int32_t right = -1;
  std::size_t length = 0;  ///< of both together when queued: tells stale candidates
};

struct MergeOrder {
  bool operator()(const MergeCandidate& a, const MergeCandidate& b) const noexcept {
    return a.priority != b.priority ? a.priority < b.priority : a.left > b.left;  // ties: leftmost first
  }
};

/// Merges `symbols` (each one or more bytes of `text`, in order) until no pair has a priority.
/// @param priority_of  (left text, right text, float& priority) -> bool: may this pair merge?
template <typename PriorityOf>
void merge_symbols(std::string_view text, std::vector<Symbol>& symbols, PriorityOf&& priority_of) {
  std::priority_queue<MergeCandidate, std::vector<MergeCandidate>, MergeOrder> queue;
  const auto view = [&](const Symbol& symbol) { return text.substr(symbol.begin, symbol.length); };
  const auto offer = [&](std::int32_t left, std::int32_t right) {
    if (left < 0 || right < 0) return;
    const Symbol& a = symbols[static_cast<std::size_t>(left)];
    const Symbol& b = symbols[static_cast<std::size_t>(right)];
    float priority = 0;
    if (priority_of(view(a), view(b), priority)) queue.push({priority, left, right, a.length + b.length});
  };
  for (std::size_t i = 0; i < symbols.size(); ++i) {
    symbols[i].previous = static_cast<std::int32_t>(i) - 1;
    symbols[i].next = i + 1 < symbols.size() ? static_cast<std::int32_t>(i) + 1 : -1;
  }
  for (std::size_t i = 1; i < symbols.size(); ++i)
    offer(static_cast<std::int32_t>(i) - 1, static_cast<std::int32_t>(i));
  while (!queue.empty()) {
    const MergeCandidate best = queue.top();
    queue.pop();
    Symbol& left = symbols[static_cast<std::size_t>(best.left)];
    Symbol& right = symbols[static_cast<std::size_t>(best.right)];
    if (left.length == 0 || right.length == 0 || left.length + right.length != best.length) continue;
    left.length += right.length;
    right.length = 0;
    left.next = right.next;
    if (right.next >= 0) symbols[static_cast<std::size_t>(right.next)].previous = best.left;
    offer(left.previous, best.left);
    offer(best.left, left.next);
  }
}

}  // namespace llmq
