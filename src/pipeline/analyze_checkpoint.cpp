// What an analyze run keeps of itself, and how it takes that up again. SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/pipeline/interrupt.hpp"

#include "pipeline/analyze_run.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

constexpr int kKeptGenerations = 2;

fs::path generation_path(const fs::path& job, std::uint64_t generation) {
  return job / fmt::format("generation-{:06}.h5", generation);
}

/// Generation numbers found in a job directory, newest first.
std::vector<std::uint64_t> find_generations(const fs::path& job) {
  std::vector<std::uint64_t> found;
  for (const auto& entry : fs::directory_iterator(job)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("generation-") && name.ends_with(".h5"))
      found.push_back(std::stoull(name.substr(11)));
  }
  std::sort(found.rbegin(), found.rend());
  return found;
}

}  // namespace

std::vector<std::uint32_t> AnalyzeRun::needed_boundaries(std::uint32_t progress) const {
  if (progress == 0 || progress >= n_steps()) return {};
  if (!with_gradient()) return {progress};
  std::vector<std::uint32_t> boundaries;
  const bool back = progress > head_step();
  const std::uint32_t layers = back ? 2 * n_layers() - progress : progress;  // on the way back: the next one
  for (std::uint32_t boundary = 1; boundary <= layers; ++boundary) boundaries.push_back(boundary);
  if (back) boundaries.push_back(n_layers());  // the gradient
  return boundaries;
}

std::vector<std::uint64_t> AnalyzeRun::needed_keys(std::uint64_t sample, LayerRange mine) const {
  const std::uint32_t progress = progress_[sample];
  const bool back = with_gradient() && progress > head_step();
  std::vector<std::uint64_t> keys;
  for (const std::uint32_t boundary : needed_boundaries(progress)) {
    // The gradient is with the rank of the next layer back, the state after the last layer with the head.
    std::uint32_t owner = boundary;
    if (with_gradient() && boundary == n_layers()) owner = back ? 2 * n_layers() - progress : n_layers() - 1;
    if (owner >= mine.begin && owner < mine.end) keys.push_back(key(sample, boundary));
  }
  return keys;
}

/// Rank 0: the newest sound generation. @throws Error(checkpoint) if there are some and none is sound.
AnalyzeCheckpoint AnalyzeRun::choose_generation(std::uint64_t& chosen) {
  std::string problems;
  for (const std::uint64_t generation : find_generations(job_.path())) {
    try {
      const fs::path file = generation_path(job_.path(), generation);
      AnalyzeCheckpoint found = read_analyze_checkpoint_meta(file);
      if (found.sample_progress.size() != progress_.size() || found.state_elems != state_elems())
        throw Error(ExitCode::checkpoint, "sizes do not fit this run");
      // The states are read by everyone later; a damaged one must show here, while an older generation may
      // serve.
      std::vector<std::uint64_t> keys;
      for (std::uint64_t sample = 0; sample < progress_.size(); ++sample) {
        for (const std::uint32_t boundary : needed_boundaries(found.sample_progress[sample]))
          keys.push_back(key(sample, boundary));
      }
      read_analyze_states(file, keys, [](std::uint64_t, std::span<const float>) {});
      std::size_t taken = 0;
      for (std::uint32_t layer = 0; layer < n_layers(); ++layer) {
        totals_[layer].clear();
        taken += totals_[layer].load(layer, found);
      }
      if (taken != found.stats.size() + found.sensitivities.size())
        throw Error(ExitCode::checkpoint, "holds statistics this run does not know");
      chosen = generation;
      if (!problems.empty()) context_.log.warn("falling back to an older checkpoint: " + problems);
      return found;
    } catch (const Error& error) {
      problems += (problems.empty() ? "" : "; ") + std::string(error.what());
    }
  }
  if (!problems.empty()) {
    throw Error(ExitCode::checkpoint, "no sound checkpoint generation: " + problems,
                "Start without --resume");
  }
  return {};
}

void AnalyzeRun::resume() {
  std::uint64_t chosen = 0;
  context_.comm.together("read the checkpoint", [&] {
    if (!context_.comm.is_root()) return;
    const AnalyzeCheckpoint found = choose_generation(chosen);
    if (chosen != 0) std::copy(found.sample_progress.begin(), found.sample_progress.end(), progress_.begin());
  });
  context_.comm.broadcast(std::span<std::uint64_t>(&chosen, 1), 0, "share the checkpoint");
  context_.comm.broadcast(std::span(progress_), 0, "share the checkpoint");
  if (chosen == 0) {
    context_.log.status("Resuming: nothing was committed yet, starting over");
    return;
  }
  generation_ = chosen;
  resumed_ = true;
  context_.comm.together("read the checkpoint", [&] {
    const LayerRange mine = layers_of_group(grid_.layer_group, grid_.layer_groups, n_layers());
    std::vector<std::uint64_t> held;
    for (const std::uint64_t sample : mine_) {
      const std::vector<std::uint64_t> keys = needed_keys(sample, mine);
      held.insert(held.end(), keys.begin(), keys.end());
    }
    read_analyze_states(generation_path(job_.path(), chosen), held,
                        [&](std::uint64_t key, std::span<const float> state) {
                          states_[key].assign(state.begin(), state.end());
                        });
  });
  std::vector<std::uint64_t> all(progress_.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
  context_.log.status(
      fmt::format("Resuming from generation {}: {:.0f}% done", chosen, 100.0 * done_share(all)));
}

void AnalyzeRun::reduce_statistics() {
  context_.comm.all_reduce(std::span(touched_), comm::ReduceOp::max, "agree on layers to reduce");
  for (std::uint32_t layer = 0; layer < n_layers(); ++layer) {
    if (touched_[layer] == 0) continue;
    if (!deltas_[layer].made()) deltas_[layer] = LayerStatistics(source_.spec(), method_);
    deltas_[layer].reduce_to_root(context_.comm, layer);
    if (context_.comm.is_root()) totals_[layer].add(deltas_[layer]);
    deltas_[layer] = {};
    touched_[layer] = 0;
  }
}

void AnalyzeRun::commit(bool write) {
  const double start = clock_seconds();
  context_.comm.all_reduce(std::span<std::uint64_t>(), comm::ReduceOp::max, "commit");
  std::vector<std::uint64_t> shared(progress_.begin(), progress_.end());
  context_.comm.all_reduce(std::span(shared), comm::ReduceOp::max, "share progress");
  for (std::size_t i = 0; i < shared.size(); ++i) progress_[i] = static_cast<std::uint32_t>(shared[i]);
  context_.comm.together("sum statistics", [&] { reduce_statistics(); });
  if (!write) return;

  AnalyzeCheckpoint checkpoint;
  checkpoint.generation = ++generation_;
  checkpoint.sample_progress = progress_;
  checkpoint.state_elems = state_elems();
  if (context_.comm.is_root()) {
    for (std::uint32_t layer = 0; layer < n_layers(); ++layer) totals_[layer].save(layer, checkpoint);
  }
  const LayerRange mine = layers_of_group(grid_.layer_group, grid_.layer_groups, n_layers());
  std::vector<std::uint64_t> held;
  for (const std::uint64_t sample : mine_) {
    const std::vector<std::uint64_t> keys = needed_keys(sample, mine);
    held.insert(held.end(), keys.begin(), keys.end());
  }
  std::string no_room;
  context_.comm.together("write the checkpoint", [&] {
    const TimelineScope writing(timeline_, Activity::write);
    no_room = write_analyze_checkpoint(
        generation_path(job_.path(), generation_), context_.comm.native(), checkpoint, held,
        [&](std::uint64_t key) { return std::span<const float>(states_.at(key)); });
    if (context_.comm.is_root() && no_room.empty() && generation_ > kKeptGenerations) {
      std::error_code ignored;
      fs::remove(generation_path(job_.path(), generation_ - kKeptGenerations), ignored);
    }
  });
  last_commit_ = clock_seconds();
  commit_cost_ = last_commit_ - start;
  seconds_["checkpoint"] += commit_cost_;
  if (!no_room.empty()) {
    --generation_;
    report_no_room(no_room);
    return;
  }
  context_.log.detail(
      fmt::format("Committed checkpoint generation {} in {:.2f} s", generation_, commit_cost_));
}

/// The work is worth more than its checkpoint: the run goes on without, unless it was asked to stop.
void AnalyzeRun::report_no_room(const std::string& reason) {
  const std::string kept =
      generation_ == 0 ? "none is kept" : fmt::format("generation {} is kept", generation_);
  if (interrupt_requested()) {
    throw Error(ExitCode::general, fmt::format("interrupted without a checkpoint ({}): {}", kept, reason),
                "Free disk space, then continue with --resume or start again");
  }
  context_.log.warn(fmt::format("a checkpoint could not be written ({}): {}", kept, reason));
}

}  // namespace llmq
