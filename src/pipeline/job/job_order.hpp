// The order of steps. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

namespace llmq::job {

/// Positions in an order where everything stands after what it needs, and before everything later in the list
/// where `needs` leaves the choice.  Example: needs {{2}, {}, {}} -> {1, 2, 0}.
/// A cycle gives a shorter list: without the steps of the cycle and what needs them.
std::vector<std::size_t> order_steps(const std::vector<std::vector<std::size_t>>& needs);

/// A cycle among the steps that `order` lacks, each needing the next; its first step comes again at the end.
std::vector<std::size_t> find_cycle(const std::vector<std::vector<std::size_t>>& needs,
                                    const std::vector<std::size_t>& order);

}  // namespace llmq::job
