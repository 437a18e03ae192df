// Which ranks share a node. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "llmq/comm/communicator.hpp"

namespace llmq {

struct NodeMap {
  std::vector<std::uint32_t> node_of_rank;    ///< nodes are numbered in the order of their lowest ranks
  std::vector<std::uint32_t> ranks_per_node;  ///< by node
};

/// Collective over `world`. @param node  the ranks of this rank's node (world.split_node()).
NodeMap map_nodes(const Communicator& world, const Communicator& node);

}  // namespace llmq
