#include "pipeline/nodes.hpp"

#include <algorithm>

namespace llmq {

NodeMap map_nodes(const Communicator& world, const Communicator& node) {
  std::int64_t leader = world.rank();
  node.broadcast(std::span<std::int64_t>(&leader, 1), 0, "number the nodes");
  std::vector<std::int64_t> leaders(static_cast<std::size_t>(world.size()), 0);
  leaders[static_cast<std::size_t>(world.rank())] = leader;
  world.all_reduce(std::span(leaders), comm::ReduceOp::max, "number the nodes");

  std::vector<std::int64_t> nodes = leaders;
  std::sort(nodes.begin(), nodes.end());
  nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
  NodeMap map;
  map.ranks_per_node.assign(nodes.size(), 0);
  for (const std::int64_t id : leaders) {
    const auto number =
        static_cast<std::uint32_t>(std::lower_bound(nodes.begin(), nodes.end(), id) - nodes.begin());
    map.node_of_rank.push_back(number);
    ++map.ranks_per_node[number];
  }
  return map;
}

}  // namespace llmq
