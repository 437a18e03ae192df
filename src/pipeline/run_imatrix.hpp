// The importance matrix of a run that makes one when none is given. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "llmq/formats/imatrix.hpp"
#include "llmq/model/source.hpp"
#include "llmq/pipeline/quantize.hpp"
#include "llmq/pipeline/samples.hpp"
#include "llmq/pipeline/stage_context.hpp"

namespace llmq {

/// Samples of the calibration text when the options say nothing.
inline constexpr std::uint64_t kDefaultCalibrationSamples = 256;

struct RunImatrix {
  Imatrix imatrix;
  std::filesystem::path path;
  bool reused = false;  ///< given, or made by an earlier run
};

/// Collective, the same on every rank. @throws Error(imatrix).
RunImatrix given_imatrix(const StageContext& context, const std::filesystem::path& path);

/// Collective, the same on every rank: by the calibration options of the run, made now or taken from the
/// cache.
RunImatrix analyzed_imatrix(const StageContext& context, const QuantizeOptions& options,
                            std::uint64_t samples, const std::filesystem::path& cache,
                            const CheckpointOptions& checkpoints);

/// Local: all samples of up to `ctx` tokens of the calibration text of the options, or of the built-in one.
/// @throws Error(calibration_data).
SampleSet calibration_samples(const StageContext& context, const ModelSource& source,
                              const QuantizeOptions& options, std::uint64_t ctx);

/// Checkpoints of a part of a longer run: continues what is found when the run was asked to resume.
/// @throws Error(checkpoint) if --resume names nothing.
CheckpointOptions part_checkpoints(const CheckpointOptions& options);

}  // namespace llmq
