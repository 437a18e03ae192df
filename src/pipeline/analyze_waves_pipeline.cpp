// Waves forward and back over several layer groups: states pass from group to group in micro-batches, and
// gradients return the same way. SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "llmq/core/error.hpp"
#include "llmq/core/parallel.hpp"

#include "pipeline/analyze_run.hpp"
#include "pipeline/thread_statistics.hpp"

namespace llmq {

std::uint32_t AnalyzeRun::layers_back(std::uint64_t sample) const noexcept {
  const std::uint32_t progress = progress_[sample];
  return progress <= head_step() ? n_layers() : backward_step(0) - progress + 1;
}

bool AnalyzeRun::receive_gradients(const Batch& batch, LayerRange mine, bool failed) {
  if (grid_.layer_group + 1 == grid_.layer_groups) return failed;
  const int from = static_cast<int>(grid_.layer_group) + 1;
  std::int64_t sender_failed = 0;
  row_.receive(std::span<std::int64_t>(&sender_failed, 1), from, kGradientStatusTag,
               "hand back a micro-batch");
  if (sender_failed != 0) return true;
  for (const std::uint64_t sample : batch) {
    if (layers_back(sample) <= mine.end) continue;  // further along since an earlier start
    std::vector<float>& gradient = states_[key(sample, n_layers())];
    gradient.resize(state_elems());
    row_.receive(std::span(gradient), from, kGradientTag, "hand back a gradient");
  }
  return failed;
}

void AnalyzeRun::send_gradients(const Batch& batch, LayerRange mine, bool failed) {
  if (grid_.layer_group == 0) return;
  const int to = static_cast<int>(grid_.layer_group) - 1;
  const std::int64_t flag = failed ? 1 : 0;
  row_.send(std::span<const std::int64_t>(&flag, 1), to, kGradientStatusTag, "hand back a micro-batch");
  if (failed) return;
  for (const std::uint64_t sample : batch) {
    if (layers_back(sample) <= mine.begin) continue;
    row_.send(std::span<const float>(state(sample, n_layers())), to, kGradientTag, "hand back a gradient");
  }
}

void AnalyzeRun::wave_forward(const Batch& batch, const ResidentLayers& layers) {
  const LayerRange mine = layers.range;
  for (const std::uint64_t sample : batch) {
    for (std::uint32_t layer = std::max(mine.begin, progress_[sample]); layer < mine.end; ++layer)
      states_[key(sample, layer + 1)];  // threads must not grow the map
  }
  parallel_for(batch.size(), context_.threads, [&](std::size_t i, std::size_t worker) {
    for (std::uint32_t layer = std::max(mine.begin, progress_[batch[i]]); layer < mine.end; ++layer) {
      advance_boundary(batch[i], layer, *layers.weights[layer - mine.begin],
                       layers.statistics[layer - mine.begin].of(worker));
    }
  });
}

void AnalyzeRun::wave_back(const Batch& batch, const ResidentLayers& layers) {
  const LayerRange mine = layers.range;
  parallel_for(batch.size(), context_.threads, [&](std::size_t i, std::size_t worker) {
    for (std::uint32_t layer = std::min(mine.end, layers_back(batch[i])); layer-- > mine.begin;) {
      go_back(batch[i], layer, *layers.weights[layer - mine.begin],
              layers.statistics[layer - mine.begin].of(worker));
    }
  });
}

LocalStatus AnalyzeRun::pass_wave(const Batch& wave, const ResidentLayers& layers) {
  const std::size_t width = context_.threads;
  LocalStatus status;
  const auto guarded = [&](bool failed, const auto& work) {
    const double start = clock_seconds();
    if (!failed) {
      try {
        work();
      } catch (...) {
        status = Communicator::describe_current_exception();
      }
    }
    seconds_["compute"] += clock_seconds() - start;
    return failed || status.exit_code != 0;
  };
  const auto batches = [&](const auto& step) {
    for (std::size_t begin = 0; begin < wave.size(); begin += width) {
      step(Batch(wave.begin() + static_cast<std::ptrdiff_t>(begin),
                 wave.begin() + static_cast<std::ptrdiff_t>(std::min(begin + width, wave.size()))));
    }
  };
  bool failed = false;
  batches([&](const Batch& batch) {
    failed = receive_batch(batch, layers.range, failed);
    failed = guarded(failed, [&] { wave_forward(batch, layers); });
    send_batch(batch, failed);
  });
  if (grid_.layer_group + 1 == grid_.layer_groups) {
    failed = guarded(failed, [&] {
      Batch todo;
      for (const std::uint64_t sample : wave) {
        if (progress_[sample] <= head_step()) todo.push_back(sample);
      }
      run_head(todo);
    });
  }
  batches([&](const Batch& batch) {
    failed = receive_gradients(batch, layers.range, failed);
    failed = guarded(failed, [&] { wave_back(batch, layers); });
    send_gradients(batch, layers.range, failed);
  });
  return status;
}

void AnalyzeRun::walk_waves_pipeline() {
  const LayerRange mine = layers_of_group(grid_.layer_group, grid_.layer_groups, n_layers());
  const std::vector<std::unique_ptr<LayerWeights>> weights = load_resident(mine);
  std::vector<ThreadStatistics> statistics(mine.end - mine.begin,
                                           ThreadStatistics(source_.spec(), method_, context_.threads));
  const ResidentLayers layers{mine, weights, statistics};
  const std::vector<Batch> waves = plan_waves();
  for (std::size_t i = 0; i < waves.size(); ++i) {
    const LocalStatus status = pass_wave(waves[i], layers);
    if (status.exit_code == 0) {
      for (const std::uint64_t sample : waves[i]) {
        progress_[sample] = n_steps();
        for (std::uint32_t boundary = 1; boundary <= n_layers(); ++boundary)
          states_.erase(key(sample, boundary));
      }
      for (std::uint32_t layer = mine.begin; layer < mine.end; ++layer) {
        statistics[layer - mine.begin].join_into(deltas_[layer]);
        touched_[layer] = 1;
      }
    }
    finish_round(status, i + 1 == waves.size());
  }
}

}  // namespace llmq
