// The error table of a model, made or taken from the file beside its importance matrix.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "llmq/formats/atlas.hpp"
#include "llmq/model/source.hpp"
#include "llmq/pipeline/samples.hpp"
#include "llmq/pipeline/stage_context.hpp"

#include "pipeline/atlas_errors.hpp"
#include "pipeline/job_directory.hpp"

namespace llmq {

struct AtlasRequest {
  AtlasKey key;
  std::vector<AtlasTask> tasks;
  std::filesystem::path path;        ///< where the table is kept; empty: nowhere
  std::optional<SampleSet> samples;  ///< to measure single changes on; none: they are not measured
  bool read_only = false;            ///< what is measured is not kept in `path`
  CheckpointOptions checkpoints;
  DirectoryUse directory_use = DirectoryUse::all_ranks;  ///< root_only: only what rank 0 measures is resumed
};

struct AtlasStage {
  Atlas atlas;  ///< on rank 0
  bool errors_reused = false, probes_reused = false;
  double error_seconds = 0, probe_seconds = 0;  ///< what this run spent
};

/// "m.imatrix" -> "m.atlas", "imatrix.gguf" -> "imatrix.gguf.atlas"; ".protected.atlas" where weights are
/// protected: these cost other types more.
std::filesystem::path atlas_path(const std::filesystem::path& imatrix, bool with_protection);

/// Collective. What the file has and the request needs is used again; what lacks is measured and the file
/// replaced. A table of another model, matrix, version or number of rows is made anew.
/// @throws what measure_errors and measure_probes throw.
AtlasStage prepare_atlas(const StageContext& context, const ModelSource& source, const AtlasRequest& request);

}  // namespace llmq
