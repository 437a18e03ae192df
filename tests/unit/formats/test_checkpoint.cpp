// Checkpoint generations: round trip, and damage of statistics or states is noticed.
#include <gtest/gtest.h>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/formats/checkpoint_store.hpp"

#include "support/scratch.hpp"

namespace {
using namespace llmq;
using testing_support::ScratchDirectory;

struct CheckpointTest : ::testing::Test {
  ScratchDirectory scratch;
  AnalyzeCheckpoint checkpoint;
  std::vector<std::uint64_t> held = {1, 4};
  std::vector<std::vector<float>> states = std::vector<std::vector<float>>(5, std::vector<float>(1000));

  CheckpointTest() {
    checkpoint.generation = 3;
    checkpoint.sample_progress = {4, 2, 4, 0, 1};
    checkpoint.state_elems = 1000;
    const Int128 big = Int128{1} << 100;
    checkpoint.stats.push_back({"layer.0.ffn", 2, {big, -big}, {1, 2}, {3, 4}, {5.0F, 6.0F}, {7}});
    for (std::size_t s = 0; s < states.size(); ++s) {
      for (std::size_t i = 0; i < 1000; ++i) states[s][i] = static_cast<float>(s * 1000 + i);
    }
    EXPECT_EQ(write_analyze_checkpoint(
                  scratch / "g.h5", nullptr, checkpoint, held,
                  [&](std::uint64_t sample) { return std::span<const float>(states[sample]); }),
              "");
  }
};

TEST_F(CheckpointTest, statistics_progress_and_states_come_back) {
  const AnalyzeCheckpoint back = read_analyze_checkpoint_meta(scratch / "g.h5");
  EXPECT_EQ(back.generation, 3u);
  EXPECT_EQ(back.sample_progress, checkpoint.sample_progress);
  EXPECT_TRUE(back.stats.at(0).sum_sq == checkpoint.stats[0].sum_sq);
  EXPECT_EQ(back.stats[0].max_abs, checkpoint.stats[0].max_abs);
  std::vector<std::uint64_t> seen;
  read_analyze_states(scratch / "g.h5", held, [&](std::uint64_t sample, std::span<const float> state) {
    seen.push_back(sample);
    EXPECT_TRUE(std::equal(state.begin(), state.end(), states[sample].begin()));
  });
  EXPECT_EQ(seen, held);
  const std::vector<std::uint64_t> absent = {2};
  EXPECT_THROW(read_analyze_states(scratch / "g.h5", absent, [](auto, auto) {}), Error);
}

TEST_F(CheckpointTest, damage_anywhere_in_the_data_is_noticed) {
  const std::string whole = read_file(scratch / "g.h5", 1 << 20);
  int noticed = 0;
  for (std::size_t at = 0; at < whole.size(); at += 101) {
    std::string flipped = whole;
    flipped[at] = static_cast<char>(flipped[at] ^ 0x04);
    write_file_atomically(scratch / "f.h5", flipped);
    try {
      const AnalyzeCheckpoint back = read_analyze_checkpoint_meta(scratch / "f.h5");
      EXPECT_EQ(back.sample_progress, checkpoint.sample_progress);
      read_analyze_states(scratch / "f.h5", held, [&](std::uint64_t sample, std::span<const float> state) {
        EXPECT_TRUE(std::equal(state.begin(), state.end(), states[sample].begin())) << at;
      });
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::checkpoint);
      ++noticed;
    }
  }
  EXPECT_GT(noticed, 50);  // most of the file is states and statistics
}

}  // namespace
