// What quantize and analyze have in common before and around their work: start of the job, opening the model
// on every rank, small files of rank 0. SPDX-License-Identifier: Apache-2.0
#pragma once

#include "scale/account.hpp"
#include "scale/costs.hpp"
#include "scale/machine.hpp"
#include "scale/shape.hpp"

namespace llmq::scale {

/// Everything a simulated stage is told.
struct Scene {
  const Costs& costs;
  const Machine& machine;
  Layout layout;
  const Shape& shape;
};

/// Launcher, MPI_Init and end, as seen by the user's clock but not by the program's own.
Phase start_phase(const Scene& scene);
/// Every rank opens the model and plans. @param extra_cpu_seconds  of each rank
Phase plan_phase(const Scene& scene, double extra_cpu_seconds);
/// Seconds of `cpu_seconds` on one thread of each rank when a node has fewer cores than ranks.
double on_all_ranks(const Scene& scene, double cpu_seconds);
/// Rank 0 creates, syncs, renames or removes `operations` small files.
double small_files(const Scene& scene, double operations, double syncs);

}  // namespace llmq::scale
