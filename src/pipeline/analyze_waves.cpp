// Forward and back through the model, for methods that need gradients. Samples go in waves: the states
// between all layers are kept for the samples of one wave only, and the layers are loaded once each way for
// all of them. SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/parallel.hpp"
#include "llmq/core/thread_clock.hpp"

#include "pipeline/analyze_run.hpp"
#include "pipeline/thread_statistics.hpp"

namespace llmq {

void AnalyzeRun::advance_boundary(std::uint64_t sample, std::uint32_t layer, const LayerWeights& weights,
                                  LayerStatistics& into) {
  const TimelineScope computing(timeline_, Activity::compute);
  std::vector<float>& next = state(sample, layer + 1);
  if (layer == 0) {
    embed_tokens(source_, samples_.samples[sample], next);
  } else {
    next = state(sample, layer);
  }
  run_forward(sample, layer, weights, next, into);
}

void AnalyzeRun::go_back(std::uint64_t sample, std::uint32_t layer, const LayerWeights& weights,
                         LayerStatistics& into) {
  const TimelineScope computing(timeline_, Activity::compute);
  std::vector<float> embedded;
  if (layer == 0) embed_tokens(source_, samples_.samples[sample], embedded);
  const std::vector<float>& input = layer == 0 ? embedded : state(sample, layer);
  std::vector<float>& gradient = state(sample, n_layers());
  std::vector<SensitivitySample> values(into.sensitivities());
  pass_->backward_layer(weights, input, gradient, [&](const GradientTile& tile) {
    const std::int64_t start = thread_cpu_nanoseconds();
    values[into.sensitivity_slot(tile.weight, tile.expert)].add_rows(
        method_, tile.first_row, tile.out_features, tile.in_features, tile.weights, tile.gradient);
    statistics_nanoseconds_ += thread_cpu_nanoseconds() - start;
  });
  check_state(sample, gradient, fmt::format("the gradient before layer {}", layer));
  for (std::size_t i = 0; i < values.size(); ++i) {
    try {
      if (values[i].untouched() && into.sensitivity_is_of_expert(i))
        into.sensitivity(i).add_sample_without();
      else
        into.sensitivity(i).add_sample(values[i]);
    } catch (const Error& error) {
      if (error.code() != ExitCode::importance) throw;
      throw Error(
          ExitCode::importance,
          fmt::format("gradient of {}, sample {}: {}", into.sensitivity_name(layer, i), sample, error.what()),
          error.suggestion());
    }
  }
}

void AnalyzeRun::run_head(const Batch& batch) {
  const ModelSpec& spec = source_.spec();
  const RowLoader rows = make_row_loader(source_);
  std::vector<HeadProgress> progress(batch.size());
  std::unique_ptr<LayerWeights> part;
  const auto over_parts = [&](const auto& step) {
    for (std::size_t first = 0; first < spec.vocab_size; first += kHeadPartRows) {
      part.reset();  // one at a time
      part =
          pass_->load_head_part(first, std::min<std::size_t>(kHeadPartRows, spec.vocab_size - first), rows);
      parallel_for(batch.size(), context_.threads, [&](std::size_t i, std::size_t) {
        const TimelineScope computing(timeline_, Activity::compute);
        step(samples_.samples[batch[i]], state(batch[i], n_layers()), progress[i]);
      });
    }
  };
  over_parts([&](const std::vector<TokenId>& ids, const std::vector<float>& hidden, HeadProgress& of) {
    pass_->head_forward(*part, ids, hidden, of);
  });
  over_parts([&](const std::vector<TokenId>& ids, const std::vector<float>& hidden, HeadProgress& of) {
    pass_->head_backward(*part, ids, hidden, of);
  });
  parallel_for(batch.size(), context_.threads, [&](std::size_t i, std::size_t) {
    std::vector<float>& hidden = state(batch[i], n_layers());
    const double loss = pass_->finish_head(*part, hidden, progress[i]);
    if (!std::isfinite(loss)) {
      throw Error(ExitCode::importance, fmt::format("the loss of sample {} is {}", batch[i], loss),
                  "Check output.weight and output_norm.weight");
    }
    check_state(batch[i], hidden, "the gradient of the head");
  });
}

AnalyzeRun::Batch AnalyzeRun::unfinished() const {
  Batch todo;
  for (const std::uint64_t sample : mine_) {
    if (progress_[sample] > 0 && progress_[sample] < n_steps()) todo.push_back(sample);
  }
  for (const std::uint64_t sample : mine_) {
    if (progress_[sample] == 0) todo.push_back(sample);
  }
  return todo;
}

std::vector<AnalyzeRun::Batch> AnalyzeRun::plan_waves() const {
  const Batch todo = unfinished();
  const auto size = static_cast<std::size_t>(wave_samples(context_.threads, mine_.size(), grid_, n_layers()));
  const auto mine = static_cast<std::int64_t>((todo.size() + size - 1) / size);
  const std::int64_t most = context_.comm.all_reduce_value(mine, comm::ReduceOp::max, "plan the waves");
  std::vector<Batch> waves(static_cast<std::size_t>(most));  // every rank goes through all rounds
  for (std::size_t i = 0; i < todo.size(); ++i) waves[i / size].push_back(todo[i]);
  return waves;
}

void AnalyzeRun::step_wave(const Batch& wave, std::uint32_t step, bool last, ThreadStatistics& threads) {
  Batch todo;
  for (const std::uint64_t sample : wave) {
    if (progress_[sample] == step) todo.push_back(sample);
  }
  const std::int64_t any = context_.comm.all_reduce_value<std::int64_t>(todo.empty() ? 0 : 1,
                                                                        comm::ReduceOp::max, "plan the step");
  if (any == 0) return;
  const bool head = step == head_step();
  const bool back = step > head_step();
  const std::uint32_t layer = back ? backward_step(0) - step : step;
  std::unique_ptr<LayerWeights> weights;
  if (!head) {
    weights = load(layer, !todo.empty());
    if (!back) ask_for(layer + 1);
    if (back && layer > 0) ask_for(layer - 1);
  }
  LocalStatus status;
  const double start = clock_seconds();
  try {
    if (head) {
      run_head(todo);
    } else {
      if (!back) {
        for (const std::uint64_t sample : todo)
          states_[key(sample, layer + 1)];  // threads must not grow the map
      }
      parallel_for(todo.size(), context_.threads, [&](std::size_t i, std::size_t worker) {
        if (back) {
          go_back(todo[i], layer, *weights, threads.of(worker));
        } else {
          advance_boundary(todo[i], layer, *weights, threads.of(worker));
        }
      });
      threads.join_into(deltas_[layer]);
      touched_[layer] = 1;
    }
    for (const std::uint64_t sample : todo) {
      progress_[sample] = step + 1;
      if (!back) continue;
      // Not needed further on; the gradient ends with the first layer.
      if (layer < n_layers() && layer > 0) states_.erase(key(sample, layer));
      if (layer == 0) states_.erase(key(sample, n_layers()));
    }
  } catch (...) {
    status = Communicator::describe_current_exception();
  }
  seconds_["compute"] += clock_seconds() - start;
  finish_round(status, last);
}

void AnalyzeRun::walk_waves() {
  ThreadStatistics threads(source_.spec(), method_, context_.threads);
  const std::vector<Batch> waves = plan_waves();
  for (std::size_t i = 0; i < waves.size(); ++i) {
    for (std::uint32_t step = 0; step < n_steps(); ++step)
      step_wave(waves[i], step, i + 1 == waves.size() && step + 1 == n_steps(), threads);
  }
}

}  // namespace llmq
