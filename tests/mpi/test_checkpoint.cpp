// A generation written by all ranks holds every rank's states, also when some hold none.
#include <filesystem>

#include <gtest/gtest.h>
#include <mpi.h>

#include "llmq/formats/checkpoint_store.hpp"

#include "comm/mpi/mpi_backend.hpp"
#include "support/scratch.hpp"

namespace {
using namespace llmq;

TEST(ParallelCheckpoint, states_of_all_ranks_come_back) {
  MPI_Comm duplicate = MPI_COMM_NULL;
  MPI_Comm_dup(MPI_COMM_WORLD, &duplicate);
  const Communicator comm(comm::make_mpi_backend(duplicate));
  const testing_support::ScratchDirectory scratch;
  std::string file = (scratch / "g.h5").string();
  comm.broadcast(file, 0, "test");
  const auto size = static_cast<std::uint64_t>(comm.size());
  const auto rank = static_cast<std::uint64_t>(comm.rank());
  AnalyzeCheckpoint checkpoint;
  checkpoint.generation = 9;
  checkpoint.state_elems = 300;
  checkpoint.sample_progress.assign(11, 1);
  if (comm.is_root()) checkpoint.stats.push_back({"layer.0.ffn", 1, {1}, {2}, {3}, {4.0F}, {5}});
  std::vector<std::uint64_t> mine;
  for (std::uint64_t sample = rank; sample < 11 && (rank != 1); sample += size) mine.push_back(sample);
  std::vector<float> state(300);
  const auto state_of = [&](std::uint64_t sample) {
    for (std::size_t i = 0; i < state.size(); ++i) state[i] = static_cast<float>(sample * 1000 + i);
    return std::span<const float>(state);
  };

  EXPECT_EQ(write_analyze_checkpoint(file, comm.native(), checkpoint, mine, state_of), "");
  comm.barrier("written");

  EXPECT_EQ(read_analyze_checkpoint_meta(file).stats.size(), 1u);
  read_analyze_states(file, mine, [&](std::uint64_t sample, std::span<const float> back) {
    EXPECT_EQ(back[299], static_cast<float>(sample * 1000 + 299));
  });
  if (comm.is_root()) {
    EXPECT_FALSE(std::filesystem::exists(file + ".tmp"));
  }
  comm.barrier("read");
}

}  // namespace
