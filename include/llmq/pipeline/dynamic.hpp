// Dynamic quantization: what is asked of it and what it answers. docs/dynamic.md
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "llmq/allocate/target_size.hpp"

namespace llmq {

struct DynamicOptions {
  std::string profile = "balanced";         ///< name or path
  std::filesystem::path profile_directory;  ///< where names are looked up before the presets
  std::filesystem::path imatrix_cache;      ///< for matrices made because none was given
  std::optional<double> target_bpw;       ///< most bits a quantized weight; in place of the profile's targets
  std::optional<TargetSize> target_size;  ///< most bytes of the file; likewise
  std::uint64_t atlas_rows = 256;         ///< rows a tensor for the error table; 0: all
  double quality_threshold_pct = 20;      ///< perplexity that compression-max may cost, on calibration text
};

/// One layer of the result.
struct LayerSummary {
  std::string layer_name;  ///< "model.layers.0", "model.embed_tokens", "lm_head"
  double bit_width = 0;    ///< 8 x bytes / weights of its quantized tensors
  std::uint64_t parameter_count = 0;
  bool is_protected = false;  ///< holds a protected weight
};

/// A file level that would fit as well, by the same prediction.
struct StockMix {
  std::string level;
  std::uint64_t tensor_bytes = 0;
  double predicted_kld = 0;
};

struct DynamicResult {
  std::string profile;       ///< its id
  std::string target;        ///< "3.5 bpw", "2668608 bytes", "none"
  double predicted_kld = 0;  ///< nats, sum over tensors
  double bound_kld = 0;      ///< no choice within the limits is predicted below
  bool measured = false;     ///< single changes were measured; else the prediction only puts choices in order
  std::optional<StockMix> stock;  ///< the best of those that fit
  std::filesystem::path imatrix;
  std::filesystem::path atlas;  ///< empty: not kept
  bool imatrix_reused = false, errors_reused = false, probes_reused = false;
  double error_table_seconds = 0, probe_seconds = 0, allocation_seconds = 0;
  std::vector<std::string> decision;  ///< of compression-max: what was tried and how it went
  std::vector<LayerSummary> layers;
};

}  // namespace llmq
