// Hands work units to ranks and threads: a static longest-first split between nodes, one shared counter
// inside a node, a short queue inside a rank. Which rank does a unit never changes its bytes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "llmq/pipeline/stage_context.hpp"

namespace llmq {

/// Units of each node, longest first to the least loaded node (load divided by the node's ranks). Pure.
/// @returns for each node the indices into `costs`, most expensive first.
std::vector<std::vector<std::uint32_t>> split_between_nodes(std::span<const double> costs,
                                                            std::span<const std::uint32_t> ranks_per_node);

struct SchedulerHooks {
  /// Called by a worker thread for each unit of this rank.
  std::function<void(std::uint32_t unit, std::size_t worker)> work;
  /// Called by the main thread now and then; `fraction` is the share of the node's units handed out.
  std::function<void(double fraction)> tick;
  /// Asked by the main thread: true stops handing out units.
  std::function<bool()> stop;
  /// Called by the main thread after its workers have ended, whether or not they failed; null: nothing to do.
  std::function<void()> finish;
  /// How long the main thread waits for its workers between two ticks.
  std::chrono::milliseconds tick_interval{50};
};

/// Collective. Runs every unit in `pending` once, somewhere. A failing unit stops this rank's hand-out and is
/// rethrown after its threads have ended; the other ranks are told to stop handing out, on all nodes. The
/// caller makes the failure everyone's (Communicator::together).
void run_units(const StageContext& context, std::span<const std::uint32_t> pending,
               std::span<const double> costs, const SchedulerHooks& hooks);

}  // namespace llmq
