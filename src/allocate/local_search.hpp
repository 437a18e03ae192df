// The exact part of the allocation: changes of one or two tensors that fit and help, the best one first.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "llmq/allocate/allocation.hpp"

namespace llmq {

/// @pre fits(problem, start).  @returns choices that fit, no worse than `start`, which no change of one
/// tensor's type improves, and no such pair that the search looks at (all pairs when no group is in the way).
Choices improve(const AllocationProblem& problem, Choices start);

}  // namespace llmq
