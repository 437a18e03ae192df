#include <thread>
#include <vector>

#include "llmq/core/log.hpp"
#include "llmq/pipeline/stage_context.hpp"

#include "pipeline/unit_scheduler.hpp"
#include "scale/measure.hpp"

namespace llmq::scale {
namespace {

constexpr int kRepetitions = 7;
constexpr int kDoneTag = 7;
constexpr std::size_t kElements = 8192 * 3;  // sums of one input of a large model

/// Seconds of one call out of `calls`, best of some repetitions, as rank 0 sees it.
template <typename Call>
double per_call(const Communicator& comm, int calls, Call&& call) {
  double best = std::numeric_limits<double>::max();
  for (int i = 0; i < kRepetitions; ++i) {
    comm.barrier("measure");
    best = std::min(best, best_wall_seconds(1, [&] {
                            for (int k = 0; k < calls; ++k) call();
                          }) / calls);
  }
  return best;
}

void measure_collectives(const Communicator& comm, Costs& costs) {
  const int ranks = comm.size();
  costs.agree[ranks] = per_call(comm, 500, [&] { comm.agree({}, "measure"); });
  costs.all_reduce[ranks] =
      per_call(comm, 500, [&] { comm.all_reduce_value<std::int64_t>(1, comm::ReduceOp::max, "measure"); });
  const std::int64_t value = comm.rank();
  costs.gather[ranks] =
      per_call(comm, 200, [&] { comm.gather(std::span<const std::int64_t>(&value, 1), "measure"); });
  std::vector<Int128> sums(kElements, 1);
  const auto reduce = [&] { comm.reduce_to_root(std::span(sums), comm::ReduceOp::sum, "measure"); };
  reduce();
  costs.reduce_i128[ranks] = ranks == 1 ? 0 : per_call(comm, 20, reduce) / static_cast<double>(kElements);
}

/// Half of a round trip.
double one_way(const Communicator& comm, std::size_t bytes, int calls) {
  std::vector<std::byte> buffer(bytes);
  const auto turn = [&] {
    if (comm.rank() == 0) {
      comm.send(std::span<const std::byte>(buffer), 1, 1, "measure");
      comm.receive(std::span(buffer), 1, 1, "measure");
    } else {
      comm.receive(std::span(buffer), 0, 1, "measure");
      comm.send(std::span<const std::byte>(buffer), 0, 1, "measure");
    }
  };
  turn();
  return per_call(comm, calls, turn) / 2;
}

void measure_pair(const Communicator& comm, Costs& costs) {
  constexpr std::size_t kLarge = std::size_t{8} << 20;
  costs.message = one_way(comm, 8, 1000);
  costs.message_byte = std::max(0.0, one_way(comm, kLarge, 8) - costs.message) / kLarge;
  const Communicator node = comm.split_node();
  WorkCounter counter = node.make_counter();
  costs.counter_take = per_call(comm, 2000, [&] { counter.take(); });
}

void measure_scheduler(const Communicator& comm, Costs& costs) {
  constexpr std::uint32_t kUnits = 5000;
  LogOptions quiet;
  quiet.verbosity = Verbosity::quiet;
  Log log(quiet);
  const StageContext context{comm, log, 1, 0};
  std::vector<std::uint32_t> pending;
  for (std::uint32_t unit = 0; unit < kUnits; ++unit) pending.push_back(unit);
  const std::vector<double> unit_costs(kUnits, 1.0);
  SchedulerHooks hooks;
  hooks.work = [](std::uint32_t, std::size_t) {};
  hooks.tick = [](double) {};
  hooks.stop = [] { return false; };
  costs.unit =
      best_wall_seconds(kRepetitions, [&] { run_units(context, pending, unit_costs, hooks); }) / kUnits;
}

}  // namespace

void on_first_ranks(const Communicator& world, int count,
                    const std::function<void(const Communicator&)>& work) {
  const bool active = world.rank() < count;
  const Communicator part = world.split(active ? 0 : 1, world.rank());
  const std::int64_t done = 1;
  std::int64_t received = 0;
  if (active) {
    work(part);
    if (!world.is_root()) return;
    for (int rank = count; rank < world.size(); ++rank)
      world.send(std::span<const std::int64_t>(&done, 1), rank, kDoneTag, "end of a measurement");
    return;
  }
  while (!world.probe(kDoneTag, "end of a measurement"))
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  world.receive(std::span<std::int64_t>(&received, 1), 0, kDoneTag, "end of a measurement");
}

void measure_ranks(const Communicator& world, Costs& costs) {
  for (int ranks = 1; ranks <= world.size(); ++ranks) {
    on_first_ranks(world, ranks, [&](const Communicator& comm) {
      measure_collectives(comm, costs);
      if (ranks == 1) measure_scheduler(comm, costs);
      if (ranks == 2) measure_pair(comm, costs);
    });
  }
}

}  // namespace llmq::scale
