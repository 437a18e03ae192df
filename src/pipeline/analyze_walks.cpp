// The two ways through the model. L = 1: every rank walks all layers, one resident at a time, over its own
// samples. L > 1: a rank keeps the layers of its group and hidden states pass from group to group in
// micro-batches. SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/parallel.hpp"

#include "pipeline/analyze_run.hpp"

namespace llmq {
namespace {

constexpr std::size_t kSamplesPerThreadAndRound = 8;  // between two looks at signals and the clock
constexpr std::size_t kBatchesPerRound = 32;  // times L: keeps the fill and drain of the pipeline short
constexpr int kStatusTag = 1;
constexpr int kStateTag = 2;

/// Statistics of one layer gathered by several threads: one set a thread, joined afterwards.
class ThreadAccumulators {
 public:
  ThreadAccumulators(const ModelSpec& spec, std::size_t threads) : sets_(threads) {
    for (LayerAccumulators& set : sets_) set = make_layer_accumulators(spec);
  }
  LayerAccumulators& of(std::size_t worker) { return sets_[worker]; }
  void join_into(LayerAccumulators& target, const ModelSpec& spec) {
    if (target[0].in_features() == 0) target = make_layer_accumulators(spec);
    for (LayerAccumulators& set : sets_) {
      for (std::size_t i = 0; i < set.size(); ++i) {
        target[i].add(set[i]);
        set[i].clear();
      }
    }
  }

 private:
  std::vector<LayerAccumulators> sets_;
};

}  // namespace

void AnalyzeRun::walk_layers() {
  const std::size_t round = context_.threads * kSamplesPerThreadAndRound;
  ThreadAccumulators threads(source_.spec(), context_.threads);
  for (std::uint32_t layer = 0; layer < n_layers(); ++layer) {
    std::vector<std::uint64_t> todo;
    for (const std::uint64_t sample : mine_) {
      if (progress_[sample] == layer) todo.push_back(sample);
    }
    const std::int64_t longest = context_.comm.all_reduce_value<std::int64_t>(
        static_cast<std::int64_t>(todo.size()), comm::ReduceOp::max, "plan the layer");
    if (longest == 0) continue;
    std::unique_ptr<LayerWeights> weights;
    const double load_start = clock_seconds();
    context_.comm.together(fmt::format("load layer {}", layer), [&] {
      const TimelineScope reading(timeline_, Activity::read);
      if (!todo.empty()) weights = pass_->load_layer(layer, loader_);
    });
    seconds_["load"] += clock_seconds() - load_start;
    for (const ModelTensor& tensor : source_.tensors()) {
      if (tensor.layer == static_cast<std::int32_t>(layer) + 1) source_.will_need(tensor);
    }

    const std::size_t rounds = (static_cast<std::size_t>(longest) + round - 1) / round;
    for (std::size_t number = 0; number < rounds; ++number) {
      const std::size_t begin = std::min(todo.size(), number * round);
      const std::size_t end = std::min(todo.size(), begin + round);
      for (std::size_t i = begin; i < end; ++i) states_[todo[i]];  // threads must not grow the map
      LocalStatus status;
      const double compute_start = clock_seconds();
      try {
        parallel_for(end - begin, context_.threads, [&](std::size_t i, std::size_t worker) {
          const std::uint64_t sample = todo[begin + i];
          advance_sample(sample, layer, *weights, threads.of(worker));
          progress_[sample] = layer + 1;
        });
        threads.join_into(deltas_[layer], source_.spec());
        touched_[layer] = 1;
        if (layer + 1 == n_layers()) {
          for (std::size_t i = begin; i < end; ++i) states_.erase(todo[i]);
        }
      } catch (...) {
        status = Communicator::describe_current_exception();
      }
      seconds_["compute"] += clock_seconds() - compute_start;
      finish_round(status, layer + 1 == n_layers() && number + 1 == rounds);
    }
  }
}

bool AnalyzeRun::receive_batch(const std::vector<std::uint64_t>& batch, LayerRange mine, bool failed) {
  if (grid_.layer_group == 0) return failed;
  const int from = static_cast<int>(grid_.layer_group) - 1;
  std::int64_t sender_failed = 0;
  row_.receive(std::span<std::int64_t>(&sender_failed, 1), from, kStatusTag, "hand on a micro-batch");
  if (sender_failed != 0) return true;
  for (const std::uint64_t sample : batch) {
    if (progress_[sample] >= mine.begin)
      continue;  // further along since an earlier start: stands here or beyond
    std::vector<float>& state = states_[sample];
    state.resize(state_elems());
    row_.receive(std::span(state), from, kStateTag, "hand on a hidden state");
  }
  return failed;
}

void AnalyzeRun::send_batch(const std::vector<std::uint64_t>& batch, bool failed) {
  if (grid_.layer_group + 1 == grid_.layer_groups) return;
  const int to = static_cast<int>(grid_.layer_group) + 1;
  const LayerRange mine = layers_of_group(grid_.layer_group, grid_.layer_groups, n_layers());
  const std::int64_t flag = failed ? 1 : 0;
  row_.send(std::span<const std::int64_t>(&flag, 1), to, kStatusTag, "hand on a micro-batch");
  if (failed) return;
  for (const std::uint64_t sample : batch) {
    if (progress_[sample] >= mine.end) continue;
    row_.send(std::span<const float>(states_.at(sample)), to, kStateTag, "hand on a hidden state");
    states_.erase(sample);
  }
}

void AnalyzeRun::walk_pipeline() {
  const LayerRange mine = layers_of_group(grid_.layer_group, grid_.layer_groups, n_layers());
  std::vector<std::unique_ptr<LayerWeights>> resident;
  const double load_start = clock_seconds();
  context_.comm.together("load the layers of this group", [&] {
    const TimelineScope reading(timeline_, Activity::read);
    for (std::uint32_t layer = mine.begin; layer < mine.end; ++layer) {
      resident.push_back(pass_->load_layer(layer, loader_));
    }
  });
  seconds_["load"] += clock_seconds() - load_start;

  std::vector<std::uint64_t> todo;
  for (const std::uint64_t sample : mine_) {
    if (progress_[sample] < n_layers()) todo.push_back(sample);
  }
  const std::size_t width = context_.threads;
  const std::size_t round = width * kBatchesPerRound * grid_.layer_groups;
  const std::int64_t longest = context_.comm.all_reduce_value<std::int64_t>(
      static_cast<std::int64_t>(todo.size()), comm::ReduceOp::max, "plan the rounds");
  const std::size_t rounds = (static_cast<std::size_t>(longest) + round - 1) / round;
  std::vector<ThreadAccumulators> threads;
  for (std::uint32_t layer = mine.begin; layer < mine.end; ++layer)
    threads.emplace_back(source_.spec(), width);

  for (std::size_t number = 0; number < rounds; ++number) {
    const std::size_t round_begin = std::min(todo.size(), number * round);
    const std::size_t round_end = std::min(todo.size(), round_begin + round);
    LocalStatus status;
    for (std::size_t begin = round_begin; begin < round_end; begin += width) {
      const std::vector<std::uint64_t> batch(
          todo.begin() + static_cast<std::ptrdiff_t>(begin),
          todo.begin() + static_cast<std::ptrdiff_t>(std::min(begin + width, round_end)));
      const double exchange_start = clock_seconds();
      const bool failed = receive_batch(batch, mine, status.exit_code != 0);
      const double compute_start = clock_seconds();
      seconds_["exchange"] += compute_start - exchange_start;
      if (!failed) {
        try {
          for (const std::uint64_t sample : batch) {
            if (progress_[sample] < mine.end) states_[sample];
          }
          parallel_for(batch.size(), width, [&](std::size_t i, std::size_t worker) {
            const std::uint32_t first = std::max(mine.begin, progress_[batch[i]]);
            for (std::uint32_t layer = first; layer < mine.end; ++layer) {
              advance_sample(batch[i], layer, *resident[layer - mine.begin],
                             threads[layer - mine.begin].of(worker));
            }
          });
        } catch (...) {
          status = Communicator::describe_current_exception();
        }
      }
      const double send_start = clock_seconds();
      seconds_["compute"] += send_start - compute_start;
      send_batch(batch, failed || status.exit_code != 0);
      seconds_["exchange"] += clock_seconds() - send_start;
    }
    if (status.exit_code == 0) {
      for (std::size_t i = round_begin; i < round_end; ++i) {
        progress_[todo[i]] = n_layers();
        states_.erase(todo[i]);
      }
      for (std::uint32_t layer = mine.begin; layer < mine.end; ++layer) {
        threads[layer - mine.begin].join_into(deltas_[layer], source_.spec());
        touched_[layer] = 1;
      }
    }
    finish_round(status, number + 1 == rounds);
  }
}

}  // namespace llmq
