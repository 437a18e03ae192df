#include "pipeline/unit_scheduler.hpp"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <numeric>
#include <thread>

#include "llmq/core/error.hpp"

#include "pipeline/nodes.hpp"

namespace llmq {
namespace {

/// The queue between the main thread, which may talk MPI, and the workers, which may not.
class UnitQueue {
 public:
  void push(std::uint32_t unit) {
    const std::lock_guard lock(mutex_);
    units_.push_back(unit);
    changed_.notify_all();
  }
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }
  /// False when there will be no more work.
  bool pop(std::uint32_t& unit) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !units_.empty() || closed_; });
    if (units_.empty() || failed_) return false;
    unit = units_.front();
    units_.pop_front();
    changed_.notify_all();
    return true;
  }
  /// Waits until fewer than `depth` units are queued, or for one tick. True if there is room.
  bool wait_for_room(std::size_t depth, std::chrono::milliseconds tick) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, tick, [&] { return units_.size() < depth || failed_; });
  }
  void fail() {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::current_exception();
    failed_ = true;
    changed_.notify_all();
  }
  bool failed() {
    const std::lock_guard lock(mutex_);
    return failed_;
  }
  void worker_done() {
    const std::lock_guard lock(mutex_);
    ++done_workers_;
    changed_.notify_all();
  }
  bool wait_for_workers(std::size_t workers, std::chrono::milliseconds tick) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, tick, [&] { return done_workers_ == workers; });
  }
  void rethrow() {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::uint32_t> units_;
  bool closed_ = false;
  bool failed_ = false;
  std::size_t done_workers_ = 0;
  std::exception_ptr error_;
};

/// This node's share of the pending units.
std::vector<std::uint32_t> units_of_my_node(const StageContext& context, const Communicator& node,
                                            std::span<const std::uint32_t> pending,
                                            std::span<const double> costs) {
  const NodeMap nodes = map_nodes(context.comm, node);
  std::vector<double> pending_costs;
  for (const std::uint32_t unit : pending) pending_costs.push_back(costs[unit]);
  const auto split = split_between_nodes(pending_costs, nodes.ranks_per_node);
  std::vector<std::uint32_t> units;
  for (const std::uint32_t index : split[nodes.node_of_rank[static_cast<std::size_t>(context.comm.rank())]]) {
    units.push_back(pending[index]);
  }
  return units;
}

/// Tells all ranks that one has failed, so that nobody works for hours on a file that will never be.
class StopSign {
 public:
  explicit StopSign(const Communicator& world) : channel_(world.split(0, world.rank())) {}
  bool seen() {
    if (!seen_ && channel_.probe(kTag, "look for a stop sign")) seen_ = true;
    return seen_;
  }
  void raise() {
    if (seen()) return;  // somebody else has told everyone
    seen_ = true;
    for (int rank = 0; rank < channel_.size(); ++rank) {
      if (rank != channel_.rank())
        channel_.send(std::span<const std::int64_t>(&kSign, 1), rank, kTag, "stop");
    }
  }
  /// Collective: takes in what was sent and not looked at, so that the channel can be freed.
  void settle() {
    channel_.barrier("end of the work units");
    while (const auto from = channel_.probe(kTag, "look for a stop sign")) {
      std::int64_t sign = 0;
      channel_.receive(std::span<std::int64_t>(&sign, 1), *from, kTag, "stop");
    }
  }

 private:
  static constexpr int kTag = 3;
  static constexpr std::int64_t kSign = 1;
  Communicator channel_;
  bool seen_ = false;
};

}  // namespace

std::vector<std::vector<std::uint32_t>> split_between_nodes(std::span<const double> costs,
                                                            std::span<const std::uint32_t> ranks_per_node) {
  std::vector<std::uint32_t> order(costs.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return costs[a] > costs[b]; });
  std::vector<std::vector<std::uint32_t>> split(ranks_per_node.size());
  std::vector<double> load(ranks_per_node.size(), 0.0);
  for (const std::uint32_t unit : order) {
    std::size_t best = 0;
    for (std::size_t node = 1; node < load.size(); ++node) {
      const double with = (load[node] + costs[unit]) / ranks_per_node[node];
      if (with < (load[best] + costs[unit]) / ranks_per_node[best]) best = node;
    }
    load[best] += costs[unit];
    split[best].push_back(unit);
  }
  return split;
}

namespace {

/// Feeds this rank's workers from the counter until it is empty, someone fails, or a stop is asked for.
void feed_workers(const StageContext& context, std::span<const std::uint32_t> units, WorkCounter& counter,
                  StopSign& sign, UnitQueue& queue, const SchedulerHooks& hooks) {
  std::uint64_t handed_out = 0;
  const auto tick = [&] {
    const double total = static_cast<double>(std::max<std::size_t>(1, units.size()));
    hooks.tick(std::min(1.0, static_cast<double>(handed_out) / total));
    if (queue.failed()) sign.raise();
  };
  while (!queue.failed() && !hooks.stop() && !sign.seen()) {
    tick();
    if (!queue.wait_for_room(context.threads, hooks.tick_interval)) continue;
    handed_out = counter.take();
    if (handed_out >= units.size()) break;
    queue.push(units[handed_out]);
  }
  queue.close();
  while (!queue.wait_for_workers(context.threads, hooks.tick_interval)) tick();
  // Ended early: take what is left, so that the other ranks of the node stop as well.
  if (queue.failed() || hooks.stop() || sign.seen()) counter.take(units.size());
  if (queue.failed()) sign.raise();
}

void work_through(const StageContext& context, const Communicator& node, std::span<const std::uint32_t> units,
                  UnitQueue& queue, const SchedulerHooks& hooks) {
  WorkCounter counter = node.make_counter();
  StopSign sign(context.comm);
  {
    std::vector<std::jthread> workers;
    for (std::size_t worker = 0; worker < context.threads; ++worker) {
      workers.emplace_back([&, worker] {
        try {
          for (std::uint32_t unit = 0; queue.pop(unit);) hooks.work(unit, worker);
        } catch (...) {
          queue.fail();
        }
        queue.worker_done();
      });
    }
    try {
      feed_workers(context, units, counter, sign, queue, hooks);
    } catch (...) {
      queue.fail();
      queue.close();
      sign.raise();
    }
  }
  try {
    if (hooks.finish) hooks.finish();
  } catch (...) {
    queue.fail();
  }
  sign.settle();  // the counter's memory lives on one rank, too: leave together
}

}  // namespace

void run_units(const StageContext& context, std::span<const std::uint32_t> pending,
               std::span<const double> costs, const SchedulerHooks& hooks) {
  UnitQueue queue;
  {
    // Counter and node communicator are freed together by all ranks, before a failure leaves this function.
    const Communicator node = context.comm.split_node();
    work_through(context, node, units_of_my_node(context, node, pending, costs), queue, hooks);
  }
  queue.rethrow();
}

}  // namespace llmq
