// The quantize stage: a model in, a GGUF file or a W8A8 directory out, on any number of ranks.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "llmq/pipeline/coherence.hpp"
#include "llmq/pipeline/dynamic.hpp"
#include "llmq/pipeline/quality.hpp"
#include "llmq/pipeline/quantize_plan.hpp"
#include "llmq/pipeline/smoothquant.hpp"
#include "llmq/pipeline/stage_context.hpp"
#include "llmq/pipeline/timeline.hpp"

namespace llmq {

/// How the units of a file come together: every rank writes at its offsets, or rank 0 alone writes and the
/// others send (ranks that share no file system; each needs the model and the imatrix under the same path).
enum class Assembly { shared, gather };

inline constexpr double kDefaultProtectionCoverage = 0.0001;
inline constexpr double kMaxProtectionCoverage = 0.01;

struct QuantizeOptions {
  std::filesystem::path model;
  std::string level;  ///< as typed; any case
  std::filesystem::path output_dir = ".";
  std::string output_name;  ///< empty: MODEL-LEVEL.gguf
  std::optional<std::filesystem::path> imatrix;
  PlanChanges changes;                              ///< what the options say of types and metadata
  std::optional<std::filesystem::path> layer_bits;  ///< file of more rules, after those of `changes`
  std::optional<DynamicOptions> dynamic;            ///< set for level dynamic
  std::optional<SmoothQuantOptions> smoothquant;    ///< set for a W8A8 directory in place of a file
  bool protect_super_weights = false;               ///< needs `imatrix`
  double protection_coverage =
      kDefaultProtectionCoverage;                          ///< of all weights, in (0, kMaxProtectionCoverage]
  std::optional<std::filesystem::path> super_weight_lora;  ///< also write an adapter that restores them
  std::string calibration_data;  ///< what dynamic and smoothquant measure on; noted at fixed levels
  std::optional<std::uint64_t> calibration_samples;  ///< likewise
  bool quality_report = false;   ///< for who runs the command: judge the file when it is done
  bool coherence_check = false;  ///< likewise: let the file write
  bool force = false;
  bool allow_requantize = false;
  bool dry_run = false;
  Assembly assembly = Assembly::shared;
  CheckpointOptions checkpoints;
};

/// One tensor of the plan, for --dry-run and the report.
struct QuantizedTensor {
  std::string name;
  std::string type;
  std::string source_type;
  std::string fallback_from;  ///< empty unless the row length forced another type
  std::string raised_from;    ///< empty unless protected weights needed another type
  std::uint64_t elements = 0;
  std::uint64_t bytes = 0;
  std::uint64_t fallback_bytes = 0;  ///< above what the wanted type would take
  double fallback_bpw = 0;           ///< the same in bits per weight
};

/// How one tensor holds its protected weights.
struct ProtectedTensor {
  std::string name;
  std::uint64_t protected_weights = 0;
  bool raised = false;  ///< by a higher type; false: by the block search
  std::string type;
  std::string wanted_type;            ///< the level's
  std::uint64_t cost_bytes = 0;       ///< above what the wanted type takes
  double largest_relative_error = 0;  ///< of a protected weight, as it decodes; 0 in a dry run
};

struct SuperWeightProtection {
  std::uint64_t protected_weights = 0, spikes = 0;
  double coverage = 0;
  std::uint64_t by_search = 0, by_higher_type = 0;  ///< weights; together protected_weights
  double largest_relative_error = 0;
  std::uint64_t cost_bytes = 0;
  std::filesystem::path lora_path;  ///< empty: no adapter
  std::uint64_t lora_bytes = 0;
  std::vector<ProtectedTensor> tensors;  ///< in the order of the file
};

/// One file of several.
struct OutputShard {
  std::filesystem::path path;
  std::uint64_t bytes = 0;
  std::uint64_t tensors = 0;
};

struct QuantizeResult {
  bool dry_run = false;
  bool converted = false;             ///< by convert
  std::string format = "gguf";        ///< or "smoothquant", "hf"
  std::filesystem::path output_path;  ///< of several files the first
  std::vector<OutputShard> shards;    ///< of --split-max-size; empty: one file
  std::string level;
  std::uint64_t file_bytes = 0;      ///< head_bytes + bytes of all tensors + padding_bytes
  std::uint64_t head_bytes = 0;      ///< what stands before tensors; of a directory its other files, too
  std::uint64_t padding_bytes = 0;   ///< between and after tensors
  std::uint64_t fallbacks = 0;       ///< tensors whose rows forced another type
  std::uint64_t fallback_bytes = 0;  ///< what these cost
  double estimated_seconds = 0;      ///< of a run like this, for --dry-run
  std::uint64_t original_bytes = 0;
  std::string original_dtype;
  double compression_ratio = 0;  ///< file bytes / original tensor bytes
  double effective_bpw = 0;      ///< of the quantized tensors
  std::uint32_t layers = 0;
  double seconds = 0;
  std::uint64_t peak_memory_bytes = 0;  ///< largest over the ranks
  std::uint64_t memory_plan_bytes = 0;  ///< scratch a rank, as planned
  std::uint64_t units = 0;
  std::uint64_t units_resumed = 0;
  std::map<std::string, double> phase_seconds;  ///< read, encode, write: summed over threads and ranks
  std::vector<RankTimeline> timelines;          ///< on rank 0
  std::vector<QuantizedTensor> tensors;
  std::optional<DynamicResult> dynamic;
  std::optional<SmoothQuantResult> smoothquant;
  std::optional<QualityResult> quality;      ///< on rank 0, with a quality report
  std::filesystem::path quality_path;        ///< where it was written
  std::optional<CoherenceResult> coherence;  ///< on rank 0, with a coherence check
  std::optional<SuperWeightProtection> protection;
};

/// Collective. @throws Error with the contract's codes; nothing stands under the final name unless it is
/// complete.
QuantizeResult run_quantize(const StageContext& context, const QuantizeOptions& options);
/// The same for `options.smoothquant`: a directory.
QuantizeResult run_smoothquant(const StageContext& context, const QuantizeOptions& options);

/// What a run writes: `directory`/MODEL-LEVEL.gguf, or `directory`/`name` with ".gguf" added where missing.
/// @param name  empty for the first form
std::filesystem::path quantized_path(const std::filesystem::path& model, std::string_view level,
                                     const std::filesystem::path& directory, const std::string& name);

/// "q4_k_m" -> "Q4_K_M", "ternary" -> "TQ1_0", "Dynamic" -> "dynamic".
/// @throws Error(invalid_arguments) for an unknown level, Error(unsupported_conversion) for one without
/// encoders.
std::string canonical_level(const std::string& level);

/// Last part of a model path, without .gguf.
std::string model_base_name(const std::filesystem::path& model);

}  // namespace llmq
