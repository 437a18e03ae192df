// The quality stages: original and candidates evaluated on the same tokens in one pass over all models.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "llmq/pipeline/stage_context.hpp"
#include "llmq/quality/scores.hpp"

namespace llmq {

/// The samples that models are judged by.
struct EvaluationOptions {
  std::optional<std::filesystem::path> text;  ///< none: the built-in evaluation text
  std::uint64_t chunks = 256;                 ///< at most; what the text gives is used
  std::uint64_t ctx = 512;                    ///< tokens a chunk
};

struct QualityOptions : EvaluationOptions {
  std::filesystem::path original;
  std::filesystem::path quantized;
  bool include_layers = false;  ///< also compare weights, tensor by tensor
};

struct TensorError {
  std::string name;
  std::string type;
  double bit_width = 0;
  double mse = 0;
  double max_error = 0;
  double cosine = 1;
};

struct LayerError {
  std::string layer_name;  ///< "model.layers.0.self_attn", "model.layers.0.mlp"
  double mse = 0;
  double max_error = 0;
  double bit_width = 0;
};

struct QualityResult {
  std::filesystem::path original;
  std::filesystem::path quantized;
  QualityMetrics metrics;
  double effective_bpw = 0;
  double compression_ratio = 0;
  std::uint64_t file_bytes = 0;
  std::uint64_t chunks = 0;
  std::uint64_t ctx = 0;
  std::string dataset;
  std::vector<LayerError> layer_errors;
  std::vector<TensorError> tensor_errors;
  double seconds = 0;
};

/// The groups of figures that `quality compare` shows.
struct MetricSet {
  bool perplexity = true;
  bool size = true;
  bool bpw = true;
  bool kld = true;
  /// False when the figures follow from the files alone and no model has to run.
  bool need_pass() const noexcept { return perplexity || kld; }
};

struct CompareOptions : EvaluationOptions {
  std::filesystem::path original;
  std::vector<std::filesystem::path> quantized;  ///< at least one; results keep this order
  MetricSet metrics;
};

struct CompareResult {
  std::filesystem::path original;
  std::vector<QualityResult> candidates;  ///< layer_errors and tensor_errors are empty
  MetricSet metrics;
  std::uint64_t chunks = 0;  ///< 0 when no model ran
  std::uint64_t ctx = 0;
  std::string dataset;
  double seconds = 0;
};

/// Collective. The result is complete on rank 0. @throws Error with the contract's codes.
QualityResult run_quality(const StageContext& context, const QualityOptions& options);
/// Collective. The same figures as run_quality gives for each candidate; the original runs once for as many
/// candidates as fit into memory. The result is complete on rank 0. @throws Error with the contract's codes.
CompareResult run_compare(const StageContext& context, const CompareOptions& options);

}  // namespace llmq
