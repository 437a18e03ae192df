// Bit allocation: one type a tensor, so that the predicted loss is least and the bytes fit. docs/dynamic.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "llmq/core/block_types.hpp"

namespace llmq {

/// What a tensor may become.
struct TypeOption {
  GgmlType type = GgmlType::F32;
  std::uint64_t bytes = 0;  ///< in the file, padding included
  double loss = 0;          ///< predicted, not negative; losses of tensors add up
};

/// Tensors that have a limit of their own. No tensor is in two groups.
struct GroupLimit {
  std::vector<std::size_t> tensors;
  std::uint64_t max_bytes = 0;
};

struct AllocationProblem {
  std::vector<std::vector<TypeOption>> tensors;  ///< at least one option each; a pin is the only one
  std::vector<GroupLimit> groups;
  std::uint64_t max_bytes = 0;
};

/// Index of an option for every tensor.
using Choices = std::vector<std::size_t>;

struct Allocation {
  Choices choices;
  std::uint64_t bytes = 0;
  double loss = 0;
  double bound = 0;  ///< no choice that fits has less loss
};

std::uint64_t bytes_of(const AllocationProblem& problem, const Choices& choices);
double loss_of(const AllocationProblem& problem, const Choices& choices);
/// True if all limits hold.
bool fits(const AllocationProblem& problem, const Choices& choices);

/// The choices of least bytes; among equals that of least loss.
Choices smallest(const AllocationProblem& problem);

/// Deterministic. Multipliers for the limits give a first answer and the bound; then one or two tensors at a
/// time change their type for as long as that helps, also from the best of `starts` that fit. The result is
/// never worse than any of these.
/// @pre fits(problem, smallest(problem)); callers check and explain what is possible.
Allocation allocate(const AllocationProblem& problem, std::span<const Choices> starts = {});

}  // namespace llmq
