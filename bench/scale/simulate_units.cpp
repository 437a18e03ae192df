#include "scale/simulate_units.hpp"

#include <deque>
#include <queue>
#include <tuple>

#include "scale/resources.hpp"

namespace llmq::scale {
namespace {

enum class Step { want, compute, write, done };

struct Event {
  double time;
  std::uint64_t order;  ///< equal times: first come, first served, and the same on every machine
  Step step;
  std::uint32_t worker;
  std::uint32_t unit;
  bool operator>(const Event& other) const noexcept {
    return std::tie(time, order) > std::tie(other.time, other.order);
  }
};

struct Node {
  Node(const Machine& machine, double take_seconds)
      : cores(machine.cores), link(machine.node_fs_rate), counter(1 / std::max(take_seconds, 1e-12)) {}
  CorePool cores;
  Pipe link;  ///< to the file system
  Pipe counter;
  std::size_t next = 0;  ///< unit to hand out
};

struct Rank {
  std::deque<std::pair<std::uint32_t, double>> queue;  ///< units taken ahead, and when each was there
  std::deque<double> under_way;                        ///< gather: when rank 0 will have each
};

class Units {
 public:
  Units(const std::vector<UnitWork>& work, const std::vector<std::vector<std::uint32_t>>& split,
        const Machine& machine, const Layout& layout, const UnitRules& rules)
      : work_(work),
        split_(split),
        machine_(machine),
        layout_(layout),
        rules_(rules),
        file_system_(machine.fs_rate),
        root_(1),
        nodes_(split.size(), Node(machine, rules.take_seconds)),
        ranks_(static_cast<std::size_t>(layout.ranks())) {}

  UnitsOutcome run() {
    // Main threads fill their queues in turn, then workers come.
    for (int depth = 0; depth < layout_.threads; ++depth) {
      for (std::uint32_t rank = 0; rank < ranks_.size(); ++rank) refill(rank, 0);
    }
    for (int worker = 0; worker < layout_.workers(); ++worker)
      push(0, Step::want, static_cast<std::uint32_t>(worker), 0);
    while (!events_.empty()) {
      const Event event = events_.top();
      events_.pop();
      handle(event);
    }
    return outcome_;
  }

 private:
  std::uint32_t rank_of(std::uint32_t worker) const {
    return worker / static_cast<std::uint32_t>(layout_.threads);
  }
  std::size_t node_of(std::uint32_t rank) const {
    return rank / static_cast<std::size_t>(layout_.ranks_per_node);
  }
  void push(double time, Step step, std::uint32_t worker, std::uint32_t unit) {
    events_.push({time, order_++, step, worker, unit});
  }
  double& busy(Cause cause) { return outcome_.busy[static_cast<std::size_t>(cause)]; }

  void refill(std::uint32_t rank, double now) {
    Node& node = nodes_[node_of(rank)];
    const auto& units = split_[node_of(rank)];
    if (node.next >= units.size()) return;
    const double there = node.counter.pass(now, rules_.take_seconds > 0 ? 1 : 0);
    ranks_[rank].queue.emplace_back(units[node.next++], there);
  }

  /// End of a transfer between a thread of `node` and the file system.
  double transfer(std::size_t node, double now, double bytes) {
    if (machine_.cached || bytes <= 0) return now;
    const double alone = now + machine_.fs_operation + bytes / machine_.stream_fs_rate;
    const double link = nodes_[node].link.pass(now, bytes);
    return std::max({alone, link, file_system_.pass(now, bytes)});
  }

  void handle(const Event& event) {
    const std::uint32_t rank = rank_of(event.worker);
    const std::size_t node = node_of(rank);
    outcome_.seconds = std::max(outcome_.seconds, event.time);
    switch (event.step) {
      case Step::want:
        return begin(event, rank, node);
      case Step::compute: {
        const UnitWork& unit = work_[event.unit];
        const bool places = rules_.gather && rank == 0;  // rank 0's own units go straight into the file
        const double burst = unit.cpu_seconds + (places ? unit.root_seconds : 0.0);
        const double end = nodes_[node].cores.run(event.time, burst);
        busy(Cause::compute) += burst;  // waiting for a core counts as imbalance
        return push(end, Step::write, event.worker, event.unit);
      }
      case Step::write:
        return push(write(event, rank, node), Step::done, event.worker, event.unit);
      case Step::done:
        return push(event.time, Step::want, event.worker, 0);
    }
  }

  void begin(const Event& event, std::uint32_t rank, std::size_t node) {
    auto& queue = ranks_[rank].queue;
    if (queue.empty()) return;  // no more work: this thread is done
    const auto [unit, there] = queue.front();
    queue.pop_front();
    refill(rank, event.time);
    const double start = std::max(event.time, there);
    const double read = transfer(node, start, work_[unit].read_bytes);
    busy(Cause::file_system) += read - start;
    push(read, Step::compute, event.worker, unit);
  }

  double write(const Event& event, std::uint32_t rank, std::size_t node) {
    const UnitWork& unit = work_[event.unit];
    if (!rules_.gather || rank == 0) {
      const double end = transfer(node, event.time, unit.write_bytes);
      busy(Cause::file_system) += end - event.time;
      return end;
    }
    return hand_over(ranks_[rank], event.time, node, unit);
  }

  /// A worker goes on at once unless as many units as it has colleagues are under way. Rank 0's one thread
  /// takes in a unit, writes it, and takes the next.
  double hand_over(Rank& rank, double now, std::size_t node, const UnitWork& unit) {
    auto& under_way = rank.under_way;
    while (!under_way.empty() && under_way.front() <= now) under_way.pop_front();
    double free = now;
    if (under_way.size() >= static_cast<std::size_t>(layout_.threads)) {
      free = under_way[under_way.size() - static_cast<std::size_t>(layout_.threads)];
      busy(Cause::root) += free - now;
    }
    const bool far = rules_.send_by_net && node != 0;
    const double moving =
        rules_.send_seconds +
        unit.write_bytes * (far ? 1 / machine_.net_rate + rules_.send_byte : rules_.send_byte);
    const double writing = machine_.cached ? 0.0 : unit.write_bytes / machine_.stream_fs_rate;
    double there = root_.pass(free, moving + unit.root_seconds + writing);
    if (!machine_.cached) there = std::max(there, nodes_[0].link.pass(there - writing, unit.write_bytes));
    under_way.push_back(there);
    outcome_.seconds = std::max(outcome_.seconds, there);
    return free;
  }

  const std::vector<UnitWork>& work_;
  const std::vector<std::vector<std::uint32_t>>& split_;
  const Machine& machine_;
  const Layout& layout_;
  const UnitRules& rules_;
  Pipe file_system_;
  Pipe root_;
  std::vector<Node> nodes_;
  std::vector<Rank> ranks_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::uint64_t order_ = 0;
  UnitsOutcome outcome_;
};

}  // namespace

UnitsOutcome simulate_units(const std::vector<UnitWork>& work,
                            const std::vector<std::vector<std::uint32_t>>& split, const Machine& machine,
                            const Layout& layout, const UnitRules& rules) {
  return Units(work, split, machine, layout, rules).run();
}

}  // namespace llmq::scale
