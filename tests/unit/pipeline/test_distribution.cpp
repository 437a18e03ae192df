// Who does what: every layer, sample and unit has exactly one owner, for any number of ranks.
#include <numeric>

#include <gtest/gtest.h>

#include "llmq/core/error.hpp"

#include "pipeline/analyze_grid.hpp"
#include "pipeline/unit_scheduler.hpp"

namespace {
using namespace llmq;

TEST(Grid, every_layer_and_sample_has_one_owner_for_1_to_64_ranks) {
  for (std::uint32_t ranks = 1; ranks <= 64; ++ranks) {
    for (std::uint32_t groups = 1; groups <= ranks; ++groups) {
      if (ranks % groups != 0 || groups > 40) continue;
      std::vector<int> layers(40, 0), samples(101, 0);
      for (std::uint32_t rank = 0; rank < ranks; ++rank) {
        const GridPlace place = place_in_grid(rank, ranks, groups, 40);
        EXPECT_EQ(place.rank_of(place.layer_group, place.sample_group), rank);
        const LayerRange range = layers_of_group(place.layer_group, groups, 40);
        if (place.sample_group == 0) {
          for (std::uint32_t layer = range.begin; layer < range.end; ++layer) ++layers[layer];
        }
        if (place.layer_group == 0) {
          for (const auto sample : samples_of_group(place.sample_group, place.sample_groups, 101))
            ++samples[sample];
        }
      }
      EXPECT_EQ(layers, std::vector<int>(40, 1));
      EXPECT_EQ(samples, std::vector<int>(101, 1));
    }
  }
  EXPECT_THROW(place_in_grid(0, 4, 3, 40), Error);
  EXPECT_THROW(place_in_grid(0, 64, 64, 40), Error);
}

TEST(NodeSplit, every_unit_goes_to_one_node_and_loads_are_even) {
  std::vector<double> costs;
  for (int i = 0; i < 500; ++i) costs.push_back(1 + i % 7);
  const double total = std::accumulate(costs.begin(), costs.end(), 0.0);
  for (std::uint32_t nodes = 1; nodes <= 16; ++nodes) {
    std::vector<std::uint32_t> ranks(nodes, 2);
    ranks[0] = 4;
    const auto split = split_between_nodes(costs, ranks);
    std::vector<int> owners(costs.size(), 0);
    for (std::size_t node = 0; node < nodes; ++node) {
      double load = 0;
      for (const auto unit : split[node]) ++owners[unit], load += costs[unit];
      EXPECT_NEAR(load, total * ranks[node] / (2.0 * nodes + 2), 8);
    }
    EXPECT_EQ(owners, std::vector<int>(costs.size(), 1));
  }
}

}  // namespace
