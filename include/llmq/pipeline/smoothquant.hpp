// SmoothQuant W8A8: what is asked of it and what it answers. docs/smoothquant.md
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "llmq/formats/compressed_tensors.hpp"

namespace llmq {

inline constexpr double kDefaultAlpha = 0.5;

struct SmoothQuantOptions {
  std::optional<double> alpha = kDefaultAlpha;  ///< in [0, 1]; none: chosen by trial
  ActivationScales activations = ActivationScales::dynamic;
  std::filesystem::path imatrix_cache;  ///< for ranges measured because no matrix has them
  std::uint64_t shard_bytes = std::uint64_t{5}
                              << 30;  ///< of tensors in a file, as Hugging Face's own tools do
};

/// The largest channel, and the one in the middle.
struct RangeSummary {
  double largest = 0, median = 0;
};

/// A channel that stays large beside the others of its input.
struct WideChannel {
  std::uint64_t channel = 0;
  double times_median = 0;
};

/// What was done with one mapping.
struct MappingReport {
  std::string name;      ///< "blk.0.attn_norm -> attn_q, attn_k, attn_v"
  bool folded = false;   ///< false: left as it was
  double alpha = 0;      ///< where it is folded
  bool refined = false;  ///< scales were improved beyond the exponent's
  RangeSummary input_before, input_after, weight_before, weight_after;
  double scale_smallest = 1, scale_median = 1, scale_largest = 1;
  double error = 0;       ///< of the products, relative (docs/smoothquant.md); measured or estimated
  bool measured = false;  ///< on held-out samples
  std::uint64_t wide_channels = 0;
  std::vector<WideChannel> widest;  ///< a few of them, widest first
};

struct SmoothQuantResult {
  std::optional<double> alpha;  ///< none: chosen by trial
  ActivationScales activations = ActivationScales::dynamic;
  std::filesystem::path imatrix;  ///< where the ranges come from; empty in a dry run
  bool imatrix_reused = false;
  std::vector<MappingReport> mappings;  ///< layer by layer
  std::vector<std::string> kept;        ///< modules that keep their weights, the output matrix aside
  std::uint64_t shards = 0;
  double range_seconds = 0, search_seconds = 0;
};

}  // namespace llmq
