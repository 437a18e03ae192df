// The quality stage: original and candidate evaluated on the same tokens in one pass over both models.
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

struct QualityOptions {
  std::filesystem::path original;
  std::filesystem::path quantized;
  std::optional<std::filesystem::path> text;  ///< none: the built-in evaluation text
  std::uint64_t chunks = 256;
  std::uint64_t ctx = 512;
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

/// Collective. The result is complete on rank 0. @throws Error with the contract's codes.
QualityResult run_quality(const StageContext& context, const QualityOptions& options);

}  // namespace llmq
