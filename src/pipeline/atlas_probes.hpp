// Measures what single changes do to a model: one tensor quantized, all else as it is, KL divergence from the
// original on calibration text. These points make errors of weights comparable between tensors.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "llmq/formats/atlas.hpp"
#include "llmq/model/source.hpp"
#include "llmq/pipeline/samples.hpp"
#include "llmq/pipeline/stage_context.hpp"

#include "pipeline/atlas_errors.hpp"
#include "pipeline/job_directory.hpp"

namespace llmq {

/// One change to measure.
struct Probe {
  std::size_t task = 0;  ///< whose tensor
  GgmlType type = GgmlType::F32;
};

/// How much is measured: a model of few layers all of it, others some layers of each role; between these is
/// interpolated.
struct ProbeDepth {
  std::uint32_t layers = 0;  ///< of each role
  std::vector<double> bits;  ///< the candidate types nearest to these
  std::uint64_t tokens = 0;  ///< that the changed models run over
};
ProbeDepth probe_depth(std::uint32_t n_layers);

/// The first, the last and some layers between, at equal distances.
std::vector<std::uint32_t> probed_layers(std::uint32_t n_layers);
/// For each tensor outside the layers or in a probed layer: the types to try.
std::vector<Probe> plan_probes(std::span<const AtlasTask> tasks, std::uint32_t n_layers);
/// Some samples of a set, spread over all of it.
SampleSet choose_probe_samples(const SampleSet& samples, std::uint32_t n_layers);

/// Collective; probes go into rank 0's `atlas`, whose cells must be there. Ranks share the samples, and where
/// there are more ranks than samples, the probes too. Finished layers are kept in `job`.
/// @throws Error(out_of_memory | interrupted | importance).
void measure_probes(const StageContext& context, const ModelSource& source, std::span<const AtlasTask> tasks,
                    const SampleSet& samples, const JobDirectory& job, Atlas& atlas);

}  // namespace llmq
