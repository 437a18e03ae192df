// The two ways through the model. L = 1: every rank walks all layers, one resident at a time, over its own
// samples. L > 1: a rank keeps the layers of its group and hidden states pass from group to group in
// micro-batches. SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/parallel.hpp"

#include "pipeline/analyze_run.hpp"
#include "pipeline/thread_statistics.hpp"

namespace llmq {
namespace {

constexpr std::size_t kSamplesPerThreadAndRound = 8;  // between two looks at signals and the clock
constexpr std::size_t kBatchesPerRound = 32;  // times L: keeps the fill and drain of the pipeline short

}  // namespace

std::unique_ptr<LayerWeights> AnalyzeRun::load(std::uint32_t layer, bool wanted) {
  std::unique_ptr<LayerWeights> weights;
  const double start = clock_seconds();
  context_.comm.together(fmt::format("load layer {}", layer), [&] {
    const TimelineScope reading(timeline_, Activity::read);
    if (wanted) weights = pass_->load_layer(layer, loader_);
  });
  seconds_["load"] += clock_seconds() - start;
  return weights;
}

void AnalyzeRun::ask_for(std::uint32_t layer) const {
  for (const ModelTensor& tensor : source_.tensors()) {
    if (tensor.layer == static_cast<std::int32_t>(layer)) source_.will_need(tensor);
  }
}

void AnalyzeRun::walk_layers() {
  const std::size_t round = context_.threads * kSamplesPerThreadAndRound;
  ThreadStatistics threads(source_.spec(), method_, context_.threads);
  for (std::uint32_t layer = 0; layer < n_layers(); ++layer) {
    std::vector<std::uint64_t> todo;
    for (const std::uint64_t sample : mine_) {
      if (progress_[sample] == layer) todo.push_back(sample);
    }
    const std::int64_t longest = context_.comm.all_reduce_value<std::int64_t>(
        static_cast<std::int64_t>(todo.size()), comm::ReduceOp::max, "plan the layer");
    if (longest == 0) continue;
    const std::unique_ptr<LayerWeights> weights = load(layer, !todo.empty());
    ask_for(layer + 1);

    const std::size_t rounds = (static_cast<std::size_t>(longest) + round - 1) / round;
    for (std::size_t number = 0; number < rounds; ++number) {
      const std::size_t begin = std::min(todo.size(), number * round);
      const std::size_t end = std::min(todo.size(), begin + round);
      for (std::size_t i = begin; i < end; ++i)
        states_[key(todo[i], layer)];  // threads must not grow the map
      LocalStatus status;
      const double compute_start = clock_seconds();
      try {
        parallel_for(end - begin, context_.threads, [&](std::size_t i, std::size_t worker) {
          const std::uint64_t sample = todo[begin + i];
          advance_sample(sample, layer, *weights, threads.of(worker));
          progress_[sample] = layer + 1;
        });
        threads.join_into(deltas_[layer]);
        touched_[layer] = 1;
        if (layer + 1 == n_layers()) {
          for (std::size_t i = begin; i < end; ++i) states_.erase(key(todo[i], layer));
        }
      } catch (...) {
        status = Communicator::describe_current_exception();
      }
      seconds_["compute"] += clock_seconds() - compute_start;
      finish_round(status, layer + 1 == n_layers() && number + 1 == rounds);
    }
  }
}

std::vector<std::unique_ptr<LayerWeights>> AnalyzeRun::load_resident(LayerRange mine) {
  std::vector<std::unique_ptr<LayerWeights>> resident;
  const double start = clock_seconds();
  context_.comm.together("load the layers of this group", [&] {
    const TimelineScope reading(timeline_, Activity::read);
    for (std::uint32_t layer = mine.begin; layer < mine.end; ++layer)
      resident.push_back(pass_->load_layer(layer, loader_));
  });
  seconds_["load"] += clock_seconds() - start;
  return resident;
}

bool AnalyzeRun::receive_batch(const Batch& batch, LayerRange mine, bool failed) {
  if (grid_.layer_group == 0) return failed;
  const int from = static_cast<int>(grid_.layer_group) - 1;
  std::int64_t sender_failed = 0;
  row_.receive(std::span<std::int64_t>(&sender_failed, 1), from, kStatusTag, "hand on a micro-batch");
  if (sender_failed != 0) return true;
  for (const std::uint64_t sample : batch) {
    if (progress_[sample] >= mine.begin)
      continue;  // further along since an earlier start: stands here or beyond
    std::vector<float>& state = states_[key(sample, mine.begin)];
    state.resize(state_elems());
    row_.receive(std::span(state), from, kStateTag, "hand on a hidden state");
  }
  return failed;
}

void AnalyzeRun::send_batch(const Batch& batch, bool failed) {
  if (grid_.layer_group + 1 == grid_.layer_groups) return;
  const int to = static_cast<int>(grid_.layer_group) + 1;
  const LayerRange mine = layers_of_group(grid_.layer_group, grid_.layer_groups, n_layers());
  const std::int64_t flag = failed ? 1 : 0;
  row_.send(std::span<const std::int64_t>(&flag, 1), to, kStatusTag, "hand on a micro-batch");
  if (failed) return;
  for (const std::uint64_t sample : batch) {
    if (progress_[sample] >= mine.end) continue;
    row_.send(std::span<const float>(state(sample, mine.end)), to, kStateTag, "hand on a hidden state");
    states_.erase(key(sample, mine.end));
  }
}

void AnalyzeRun::walk_pipeline() {
  const LayerRange mine = layers_of_group(grid_.layer_group, grid_.layer_groups, n_layers());
  const std::vector<std::unique_ptr<LayerWeights>> resident = load_resident(mine);

  std::vector<std::uint64_t> todo;
  for (const std::uint64_t sample : mine_) {
    if (progress_[sample] < n_layers()) todo.push_back(sample);
  }
  const std::size_t width = context_.threads;
  const std::size_t round = width * kBatchesPerRound * grid_.layer_groups;
  const std::int64_t longest = context_.comm.all_reduce_value<std::int64_t>(
      static_cast<std::int64_t>(todo.size()), comm::ReduceOp::max, "plan the rounds");
  const std::size_t rounds = (static_cast<std::size_t>(longest) + round - 1) / round;
  std::vector<ThreadStatistics> threads(mine.end - mine.begin,
                                        ThreadStatistics(source_.spec(), method_, width));

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
            if (progress_[sample] < mine.end) states_[key(sample, 0)];
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
        states_.erase(key(todo[i], 0));
      }
      for (std::uint32_t layer = mine.begin; layer < mine.end; ++layer) {
        threads[layer - mine.begin].join_into(deltas_[layer]);
        touched_[layer] = 1;
      }
    }
    finish_round(status, number + 1 == rounds);
  }
}

}  // namespace llmq
