// The quality stages: original and candidates evaluated on the same tokens in one pass over all models.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "llmq/pipeline/stage_context.hpp"
#include "llmq/report/quality_report.hpp"

namespace llmq {

/// The samples that models are judged by.
struct EvaluationOptions {
  std::optional<std::filesystem::path> text;  ///< none: the built-in evaluation text
  std::uint64_t chunks = 256;                 ///< at most; what the text gives is used
  std::uint64_t ctx = 512;                    ///< tokens a chunk
  /// File of the original's final states (docs/formats/evaluation-base.md): read where it is of the same
  /// model and samples, else made. Changes no figure. Empty: none.
  std::filesystem::path base;
};

struct QualityOptions : EvaluationOptions {
  std::filesystem::path original;
  std::filesystem::path quantized;
  bool include_layers = false;  ///< also compare weights, tensor by tensor
  bool coherence = false;       ///< also let both models write (docs/coherence.md)
  bool reuse = true;            ///< take what a report beside the file says, where it is of the same content
};

struct CompareOptions : EvaluationOptions {
  std::filesystem::path original;
  std::vector<std::filesystem::path> quantized;  ///< at least one; results keep this order
  MetricSet metrics;
  bool include_layers = false;  ///< also compare weights, tensor by tensor
};

/// Beside the file: "out/model-Q4_K_M.gguf" -> "out/model-Q4_K_M.qreport".
std::filesystem::path quality_report_path(const std::filesystem::path& quantized);

/// Collective. The result is complete on rank 0; a base is there when this returns, except where the report
/// is reused. @throws Error with the contract's codes.
QualityResult run_quality(const StageContext& context, const QualityOptions& options);
/// Collective. The same figures as run_quality gives for each candidate; the original runs once for as many
/// candidates as fit into memory. The result is complete on rank 0. @throws Error with the contract's codes.
CompareResult run_compare(const StageContext& context, const CompareOptions& options);

}  // namespace llmq
