// Measuring single operations. Machines are shared: repetitions are short, the best counts, and what one
// thread does alone is measured by its CPU time. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <limits>

#include "llmq/comm/communicator.hpp"
#include "llmq/core/thread_clock.hpp"

#include "scale/costs.hpp"

namespace llmq::scale {

/// Best of `repetitions`, in seconds of this thread's CPU time.
template <typename Work>
double best_cpu_seconds(int repetitions, Work&& work) {
  double best = std::numeric_limits<double>::max();
  for (int i = 0; i < repetitions; ++i) {
    const std::int64_t start = thread_cpu_nanoseconds();
    work();
    best = std::min(best, static_cast<double>(thread_cpu_nanoseconds() - start) * 1e-9);
  }
  return best;
}

/// Best of `repetitions` by the clock, for what waits.
template <typename Work>
double best_wall_seconds(int repetitions, Work&& work) {
  using Clock = std::chrono::steady_clock;
  double best = std::numeric_limits<double>::max();
  for (int i = 0; i < repetitions; ++i) {
    const auto start = Clock::now();
    work();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

/// Collective: runs `work` on the first `count` ranks, on a communicator of their own; the others sleep, so
/// that they take no core away.
void on_first_ranks(const Communicator& world, int count,
                    const std::function<void(const Communicator&)>& work);

/// Collective. Calls between ranks, by number of ranks. Fills `costs` on rank 0.
void measure_ranks(const Communicator& world, Costs& costs);
/// Local: encoding, checksums, reading and writing files below `work`.
void measure_local(const std::filesystem::path& work, Costs& costs);
/// Local: opening models, loading a layer. `small` is the model with fewer tensors.
void measure_model(const std::filesystem::path& model, const std::filesystem::path& small, Costs& costs);

}  // namespace llmq::scale
