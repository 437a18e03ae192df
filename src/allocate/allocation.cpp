#include "llmq/allocate/allocation.hpp"

#include <algorithm>
#include <cmath>

#include "allocate/local_search.hpp"

namespace llmq {
namespace {

constexpr int kBisections = 200;  // of the logarithm of a multiplier: down to the last bit
constexpr double kLeastMultiplier = 1e-30, kMostMultiplier = 1e30;  // nats a byte

/// The option of least loss + multiplier x bytes; the smaller one of equals.
std::size_t best_option(const std::vector<TypeOption>& options, double multiplier) {
  std::size_t best = 0;
  const auto cost = [&](std::size_t i) {
    return options[i].loss + multiplier * static_cast<double>(options[i].bytes);
  };
  for (std::size_t i = 1; i < options.size(); ++i) {
    const double difference = cost(i) - cost(best);
    if (difference < 0 || (difference == 0 && options[i].bytes < options[best].bytes)) best = i;
  }
  return best;
}

std::uint64_t bytes_of_group(const AllocationProblem& problem, const GroupLimit& group,
                             const Choices& choices) {
  std::uint64_t bytes = 0;
  for (const std::size_t tensor : group.tensors) bytes += problem.tensors[tensor][choices[tensor]].bytes;
  return bytes;
}

/// The least multiplier at which `too_many` no longer holds.
template <class TooMany>
double least_multiplier(const TooMany& too_many) {
  if (!too_many(0.0)) return 0;
  double low = std::log(kLeastMultiplier), high = std::log(kMostMultiplier);
  for (int i = 0; i < kBisections; ++i) {
    const double middle = (low + high) / 2;
    (too_many(std::exp(middle)) ? low : high) = middle;
  }
  return std::exp(high);
}

/// Multipliers of the groups' limits and of the whole one, and what they choose.
class Relaxation {
 public:
  explicit Relaxation(const AllocationProblem& problem) : problem_(problem) {
    own_.resize(problem.tensors.size(), 0);
    for (const GroupLimit& group : problem.groups) {
      const double multiplier = least_multiplier([&](double at) {
        std::uint64_t bytes = 0;
        for (const std::size_t tensor : group.tensors) {
          const auto& options = problem.tensors[tensor];
          bytes += options[best_option(options, at)].bytes;
        }
        return bytes > group.max_bytes;
      });
      group_multipliers_.push_back(multiplier);
      for (const std::size_t tensor : group.tensors) own_[tensor] = multiplier;
    }
    whole_ = least_multiplier([&](double at) { return bytes_of(problem, choose(at)) > problem.max_bytes; });
  }

  Choices choices() const { return choose(whole_); }

  /// The Lagrangian's value: a limit's multiplier counts what the tensors' choices exceed it by.
  double bound() const {
    const Choices chosen = choices();
    double value = loss_of(problem_, chosen);
    const auto excess = [](std::uint64_t bytes, std::uint64_t limit) {
      return static_cast<double>(bytes) - static_cast<double>(limit);
    };
    value += whole_ * excess(bytes_of(problem_, chosen), problem_.max_bytes);
    for (std::size_t g = 0; g < problem_.groups.size(); ++g) {
      const double more = std::max(0.0, group_multipliers_[g] - whole_);
      value +=
          more * excess(bytes_of_group(problem_, problem_.groups[g], chosen), problem_.groups[g].max_bytes);
    }
    return std::max(0.0, value);
  }

 private:
  /// A tensor pays for the tighter one of its limits.
  Choices choose(double whole) const {
    Choices chosen(problem_.tensors.size());
    for (std::size_t i = 0; i < chosen.size(); ++i)
      chosen[i] = best_option(problem_.tensors[i], std::max(whole, own_[i]));
    return chosen;
  }

  const AllocationProblem& problem_;
  std::vector<double> own_;
  std::vector<double> group_multipliers_;
  double whole_ = 0;
};

}  // namespace

std::uint64_t bytes_of(const AllocationProblem& problem, const Choices& choices) {
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < choices.size(); ++i) bytes += problem.tensors[i][choices[i]].bytes;
  return bytes;
}

double loss_of(const AllocationProblem& problem, const Choices& choices) {
  double loss = 0;
  for (std::size_t i = 0; i < choices.size(); ++i) loss += problem.tensors[i][choices[i]].loss;
  return loss;
}

bool fits(const AllocationProblem& problem, const Choices& choices) {
  return bytes_of(problem, choices) <= problem.max_bytes &&
         std::all_of(problem.groups.begin(), problem.groups.end(), [&](const GroupLimit& group) {
           return bytes_of_group(problem, group, choices) <= group.max_bytes;
         });
}

Choices smallest(const AllocationProblem& problem) {
  Choices chosen;
  for (const std::vector<TypeOption>& options : problem.tensors) {
    const auto least =
        std::min_element(options.begin(), options.end(), [](const TypeOption& a, const TypeOption& b) {
          return a.bytes != b.bytes ? a.bytes < b.bytes : a.loss < b.loss;
        });
    chosen.push_back(static_cast<std::size_t>(least - options.begin()));
  }
  return chosen;
}

Allocation allocate(const AllocationProblem& problem, std::span<const Choices> starts) {
  const Relaxation relaxation(problem);
  std::vector<Choices> from = {relaxation.choices()};
  const Choices* best_start = nullptr;
  for (const Choices& start : starts) {
    if (!fits(problem, start)) continue;
    if (best_start == nullptr || loss_of(problem, start) < loss_of(problem, *best_start)) best_start = &start;
  }
  if (best_start != nullptr) from.push_back(*best_start);
  if (!fits(problem, from.front())) from.front() = smallest(problem);  // multipliers have an end
  Allocation best;
  for (const Choices& start : from) {
    Allocation found;
    found.choices = improve(problem, start);
    found.bytes = bytes_of(problem, found.choices);
    found.loss = loss_of(problem, found.choices);
    const bool better = best.choices.empty() || found.loss < best.loss ||
                        (found.loss == best.loss && found.bytes < best.bytes);
    if (better) best = std::move(found);
  }
  best.bound = std::min(relaxation.bound(), best.loss);
  return best;
}

}  // namespace llmq
