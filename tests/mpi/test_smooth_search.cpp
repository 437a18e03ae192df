// Chosen scales are the same bits on one rank and on many, a rank without samples included.
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <mpi.h>

#include "comm/mpi/mpi_backend.hpp"
#include "pipeline/smooth_search.hpp"
#include "support/quiet_stage.hpp"

namespace {
using namespace llmq;
using namespace llmq::testing_support;

Communicator world() {
  MPI_Comm duplicate = MPI_COMM_NULL;
  MPI_Comm_dup(MPI_COMM_WORLD, &duplicate);
  return Communicator(comm::make_mpi_backend(duplicate));
}

SampleSet some_samples(const ModelSpec& spec, std::size_t count, TokenId seed) {
  SampleSet set;
  set.ctx = 24;
  for (std::size_t i = 0; i < count; ++i) {
    std::vector<TokenId>& sample = set.samples.emplace_back();
    for (TokenId t = 0; t < 24; ++t)
      sample.push_back((t * t * 29 + 13 * t + seed * static_cast<TokenId>(i + 1)) %
                       static_cast<TokenId>(spec.vocab_size));
  }
  return set;
}

/// Any positive numbers do.
std::vector<ChannelRanges> some_ranges(const std::vector<SmoothMapping>& mappings) {
  std::vector<ChannelRanges> ranges;
  for (const SmoothMapping& mapping : mappings) {
    ChannelRanges& one = ranges.emplace_back();
    for (std::uint64_t j = 0; j < mapping.channels; ++j) {
      one.input.push_back(static_cast<float>(2 + std::sin(static_cast<double>(j))));
      one.weight.push_back(static_cast<float>(0.2 + 0.1 * std::cos(static_cast<double>(3 * j))));
    }
  }
  return ranges;
}

TEST(ChooseScales, ranks_change_no_bit) {
  const auto model = open_model(std::string(LLMQ_TEST_DATA) + "/stories260k");
  const auto mappings = smooth_mappings(model->spec());
  const auto ranges = some_ranges(mappings);
  const SampleSet fitting = some_samples(model->spec(), 3, 7), held_out = some_samples(model->spec(), 1, 11);
  const QuietStage stage;
  const Communicator comm = world();
  const StageContext all{comm, stage.context.log, 1, std::uint64_t{4} << 30};
  const auto alone = choose_scales(stage.context, *model, mappings, ranges, fitting, held_out);
  const auto together = choose_scales(all, *model, mappings, ranges, fitting, held_out);
  ASSERT_EQ(alone.size(), together.size());
  for (std::size_t m = 0; m < alone.size(); ++m) {
    EXPECT_EQ(alone[m].scales, together[m].scales);
    EXPECT_EQ(alone[m].alpha, together[m].alpha);
    EXPECT_EQ(alone[m].error, together[m].error);
    EXPECT_EQ(alone[m].error_at_half, together[m].error_at_half);
  }
}

}  // namespace
