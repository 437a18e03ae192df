#include "scale/simulate_pipeline.hpp"

#include <algorithm>
#include <cstdint>
#include <queue>
#include <tuple>

#include "scale/resources.hpp"

namespace llmq::scale {
namespace {

/// A rank goes receive -> compute -> send for each batch. A message starts when both ends are there and keeps
/// both until it has arrived.
struct Rank {
  int batch = 0;
  enum class At { receive, compute, send, done } at = At::receive;
  double since = 0;
};

class Rows {
 public:
  Rows(const Machine& machine, const Layout& layout, const PipelineRules& rules)
      : layout_(layout),
        rules_(rules),
        nodes_(static_cast<std::size_t>(layout.nodes), CorePool(machine.cores)),
        ranks_(static_cast<std::size_t>(rules.groups) * static_cast<std::size_t>(rules.rows)) {}

  PipelineOutcome run() {
    for (int rank = 0; rank < static_cast<int>(ranks_.size()); ++rank) arrive(rank, 0);
    while (!events_.empty()) {
      const Event event = events_.top();
      events_.pop();
      handle(event);
    }
    return outcome_;
  }

 private:
  enum class What { received, computed, sent };
  struct Event {
    double time;
    std::uint64_t order;
    int rank;
    What what;
    bool operator>(const Event& other) const noexcept {
      return std::tie(time, order) > std::tie(other.time, other.order);
    }
  };

  Rank& of(int rank) { return ranks_[static_cast<std::size_t>(rank)]; }
  int group(int rank) const { return rank % rules_.groups; }
  int row(int rank) const { return rank / rules_.groups; }
  int samples(int rank) { return rules_.samples(row(rank), of(rank).batch); }
  void push(double time, int rank, What what) { events_.push({time, order_++, rank, what}); }

  /// The rank stands before its next batch.
  void arrive(int rank, double now) {
    outcome_.seconds = std::max(outcome_.seconds, now);
    Rank& me = of(rank);
    me.since = now;
    if (me.batch >= rules_.batches || samples(rank) == 0) {
      me.at = Rank::At::done;
      return;
    }
    me.at = Rank::At::receive;
    if (group(rank) == 0) return compute(rank, now);
    meet(rank - 1, rank);
  }

  /// Starts the message from `from` to `to` if both stand at it.
  void meet(int from, int to) {
    if (of(from).at != Rank::At::send || of(to).at != Rank::At::receive) return;
    if (of(from).batch != of(to).batch) return;
    const double start = std::max(of(from).since, of(to).since);
    const double length = rules_.message_seconds(from, samples(from));
    outcome_.message_seconds += 2 * length;
    ++of(from).batch;
    of(from).at = of(to).at = Rank::At::compute;  // nobody may meet them until the message is there
    push(start + length, to, What::received);
    push(start + length, from, What::sent);
  }

  /// A micro-batch has at most a sample a thread: all its samples start together.
  void compute(int rank, double now) {
    of(rank).at = Rank::At::compute;
    CorePool& cores = nodes_[static_cast<std::size_t>(rank / layout_.ranks_per_node)];
    const double each = rules_.seconds_per_sample[static_cast<std::size_t>(group(rank))];
    double end = now;
    for (int sample = 0; sample < samples(rank); ++sample) end = std::max(end, cores.run(now, each));
    outcome_.compute_seconds += each * samples(rank);
    push(end, rank, What::computed);
  }

  void handle(const Event& event) {
    outcome_.seconds = std::max(outcome_.seconds, event.time);
    Rank& me = of(event.rank);
    if (event.what == What::sent) return arrive(event.rank, event.time);
    if (event.what == What::received) return compute(event.rank, event.time);
    if (group(event.rank) + 1 == rules_.groups) {
      ++me.batch;
      return arrive(event.rank, event.time);
    }
    me.at = Rank::At::send;
    me.since = event.time;
    meet(event.rank, event.rank + 1);
  }

  const Layout& layout_;
  const PipelineRules& rules_;
  std::vector<CorePool> nodes_;
  std::vector<Rank> ranks_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::uint64_t order_ = 0;
  PipelineOutcome outcome_;
};

}  // namespace

PipelineOutcome simulate_pipeline(const Machine& machine, const Layout& layout, const PipelineRules& rules) {
  return Rows(machine, layout, rules).run();
}

}  // namespace llmq::scale
