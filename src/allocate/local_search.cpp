#include "allocate/local_search.hpp"

#include <algorithm>
#include <limits>

namespace llmq {
namespace {

constexpr std::size_t kNoGroup = std::numeric_limits<std::size_t>::max();
constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();
constexpr double kLeastGain = 1e-9;  // of the whole loss: below it sums are rounding

/// One tensor changes its type.
struct Move {
  std::size_t tensor = 0, option = 0;
  std::int64_t bytes = 0;  ///< more than now
  double loss = 0;
};

class LocalSearch {
 public:
  LocalSearch(const AllocationProblem& problem, Choices start)
      : problem_(problem), choices_(std::move(start)), group_of_(choices_.size(), kNoGroup) {
    slack_ = static_cast<std::int64_t>(problem.max_bytes - bytes_of(problem, choices_));
    for (std::size_t g = 0; g < problem.groups.size(); ++g) {
      std::uint64_t bytes = 0;
      for (const std::size_t tensor : problem.groups[g].tensors) {
        group_of_[tensor] = g;
        bytes += problem.tensors[tensor][choices_[tensor]].bytes;
      }
      group_slack_.push_back(static_cast<std::int64_t>(problem.groups[g].max_bytes - bytes));
    }
  }

  Choices run() {
    while (step()) {
    }
    return choices_;
  }

 private:
  bool step() {
    list_moves();
    const double least = -kLeastGain * loss_of(problem_, choices_);
    double best = std::min(least, -std::numeric_limits<double>::min());
    std::size_t first = kNone, second = kNone;
    for (std::size_t i = 0; i < moves_.size(); ++i) {
      const Move& move = moves_[i];
      if (move.loss < best && allowed(move)) best = move.loss, first = i, second = kNone;
      const std::size_t partner = best_partner(i);
      if (partner != kNone && move.loss + moves_[partner].loss < best && allowed(move, moves_[partner]))
        best = move.loss + moves_[partner].loss, first = i, second = partner;
    }
    if (first == kNone) return false;
    take(moves_[first]);
    if (second != kNone) take(moves_[second]);
    return true;
  }

  /// All moves by bytes, and for each how little loss one of it or those before it brings: the best, and the
  /// best of another tensor.
  void list_moves() {
    moves_.clear();
    for (std::size_t i = 0; i < choices_.size(); ++i) {
      const std::vector<TypeOption>& options = problem_.tensors[i];
      const TypeOption& now = options[choices_[i]];
      for (std::size_t option = 0; option < options.size(); ++option) {
        if (option == choices_[i]) continue;
        moves_.push_back(
            {i, option,
             static_cast<std::int64_t>(options[option].bytes) - static_cast<std::int64_t>(now.bytes),
             options[option].loss - now.loss});
      }
    }
    std::stable_sort(moves_.begin(), moves_.end(),
                     [](const Move& a, const Move& b) { return a.bytes < b.bytes; });
    best_.assign(moves_.size(), kNone);
    other_.assign(moves_.size(), kNone);
    std::size_t best = kNone, other = kNone;
    for (std::size_t i = 0; i < moves_.size(); ++i) {
      if (best == kNone || moves_[i].loss < moves_[best].loss) {
        if (best != kNone && moves_[best].tensor != moves_[i].tensor) other = best;
        best = i;
      } else if (moves_[i].tensor != moves_[best].tensor &&
                 (other == kNone || moves_[i].loss < moves_[other].loss)) {
        other = i;
      }
      best_[i] = best;
      other_[i] = other;
    }
  }

  /// The move of another tensor with the least loss of those that fit together with move `i`.
  std::size_t best_partner(std::size_t i) const {
    const std::int64_t room = slack_ - moves_[i].bytes;
    const auto end =
        std::upper_bound(moves_.begin(), moves_.end(), room,
                         [](std::int64_t bytes, const Move& move) { return bytes < move.bytes; });
    if (end == moves_.begin()) return kNone;
    const auto last = static_cast<std::size_t>(end - moves_.begin()) - 1;
    return moves_[best_[last]].tensor != moves_[i].tensor ? best_[last] : other_[last];
  }

  bool group_allows(std::size_t group, std::int64_t bytes) const {
    return group == kNoGroup || bytes <= 0 || bytes <= group_slack_[group];
  }
  bool allowed(const Move& move) const {
    return move.bytes <= slack_ && group_allows(group_of_[move.tensor], move.bytes);
  }
  bool allowed(const Move& a, const Move& b) const {
    const std::size_t of_a = group_of_[a.tensor], of_b = group_of_[b.tensor];
    if (a.bytes + b.bytes > slack_) return false;
    if (of_a == of_b) return group_allows(of_a, a.bytes + b.bytes);
    return group_allows(of_a, a.bytes) && group_allows(of_b, b.bytes);
  }

  void take(const Move& move) {
    choices_[move.tensor] = move.option;
    slack_ -= move.bytes;
    if (group_of_[move.tensor] != kNoGroup) group_slack_[group_of_[move.tensor]] -= move.bytes;
  }

  const AllocationProblem& problem_;
  Choices choices_;
  std::vector<std::size_t> group_of_;
  std::vector<std::int64_t> group_slack_;
  std::int64_t slack_ = 0;
  std::vector<Move> moves_;
  std::vector<std::size_t> best_, other_;
};

}  // namespace

Choices improve(const AllocationProblem& problem, Choices start) {
  return LocalSearch(problem, std::move(start)).run();
}

}  // namespace llmq
