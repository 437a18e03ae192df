// Laws of the communicator that hold for any number of ranks, also with a chunk limit that cuts every
// message.
#include <gtest/gtest.h>
#include <mpi.h>

#include "llmq/comm/communicator.hpp"
#include "llmq/core/error.hpp"

#include "comm/mpi/mpi_backend.hpp"

namespace {
using namespace llmq;

Communicator world(std::size_t chunk_limit = std::size_t{1} << 30) {
  MPI_Comm duplicate = MPI_COMM_NULL;
  MPI_Comm_dup(MPI_COMM_WORLD, &duplicate);
  return Communicator(comm::make_mpi_backend(duplicate, chunk_limit));
}

TEST(Communicator, sums_of_128_bit_integers_are_exact_in_pieces_too) {
  for (const std::size_t limit : {std::size_t{1} << 30, std::size_t{3}}) {
    const Communicator comm = world(limit);
    std::vector<Int128> values(10);
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = (Int128{1} << 100) * (comm.rank() + 1) - static_cast<Int128>(i);
    std::vector<Int128> at_root = values;
    comm.all_reduce(std::span(values), comm::ReduceOp::sum, "test");
    comm.reduce_to_root(std::span(at_root), comm::ReduceOp::sum, "test");
    const Int128 ranks = comm.size();
    for (std::size_t i = 0; i < values.size(); ++i) {
      const Int128 expected = (Int128{1} << 100) * (ranks * (ranks + 1) / 2) - ranks * static_cast<Int128>(i);
      EXPECT_TRUE(values[i] == expected);
      if (comm.is_root()) {
        EXPECT_TRUE(at_root[i] == expected);
      }
    }
  }
}

TEST(Communicator, broadcast_and_ragged_gather) {
  const Communicator comm = world(5);
  const int last = comm.size() - 1;
  std::string text = comm.rank() == last ? "from the last rank" : "";
  comm.broadcast(text, last, "test");
  EXPECT_EQ(text, "from the last rank");

  const std::vector<std::uint64_t> mine(static_cast<std::size_t>(comm.rank()),
                                        static_cast<std::uint64_t>(comm.rank()));
  const auto all = comm.gather(std::span<const std::uint64_t>(mine), "test");
  if (!comm.is_root()) return;
  ASSERT_EQ(all.size(), static_cast<std::size_t>(comm.size()));
  for (std::size_t rank = 0; rank < all.size(); ++rank)
    EXPECT_EQ(all[rank], std::vector<std::uint64_t>(rank, rank));
}

TEST(Communicator, a_ring_of_messages_arrives) {
  const Communicator comm = world(7);
  if (comm.size() == 1) return;
  std::vector<float> state(50, static_cast<float>(comm.rank()));
  if (comm.rank() > 0) comm.receive(std::span(state), comm.rank() - 1, 1, "test");
  for (float& value : state) value += 1;
  if (comm.rank() + 1 < comm.size()) comm.send(std::span<const float>(state), comm.rank() + 1, 1, "test");
  EXPECT_EQ(state[49], static_cast<float>(comm.rank() == 0 ? 1 : comm.rank() + 1));
}

TEST(Communicator, the_lowest_failing_rank_speaks_for_all) {
  const Communicator comm = world();
  const int first = comm.size() > 1 ? 1 : 0;
  try {
    comm.together("test", [&] {
      if (comm.rank() >= first)
        throw Error(ExitCode::calibration_data, "rank " + std::to_string(comm.rank()), "do this");
    });
    ADD_FAILURE() << "nobody failed";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::calibration_data);
    EXPECT_EQ(std::string(error.what()), "rank " + std::to_string(first));
    EXPECT_EQ(error.suggestion(), "do this");
  }
  EXPECT_NO_THROW(comm.together("test", [] {}));
}

TEST(Communicator, the_work_counter_gives_every_number_once) {
  const Communicator comm = world();
  WorkCounter counter = comm.split_node().make_counter();
  constexpr std::uint64_t kUnits = 1000;
  std::vector<std::uint64_t> taken(kUnits, 0);
  for (std::uint64_t unit = counter.take(); unit < kUnits; unit = counter.take()) ++taken[unit];
  comm.all_reduce(std::span(taken), comm::ReduceOp::sum, "test");
  EXPECT_EQ(taken, std::vector<std::uint64_t>(kUnits, 1));
}

TEST(Communicator, split_groups_by_color) {
  const Communicator comm = world();
  const Communicator half = comm.split(comm.rank() % 2, comm.rank());
  EXPECT_EQ(half.rank(), comm.rank() / 2);
  EXPECT_EQ(half.size(), (comm.size() + 1 - comm.rank() % 2) / 2);
}

}  // namespace
