// The analyze stage: a model and a text in, an importance matrix out, on an L x S grid of ranks.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "llmq/formats/imatrix.hpp"
#include "llmq/importance/method.hpp"
#include "llmq/pipeline/stage_context.hpp"
#include "llmq/pipeline/timeline.hpp"

namespace llmq {

struct AnalyzeOptions {
  std::filesystem::path model;
  std::filesystem::path output;  ///< empty: ./MODEL.imatrix
  std::filesystem::path report;  ///< .html or .json; empty: none
  ImportanceMethod method = ImportanceMethod::activation;
  std::optional<std::filesystem::path> data;  ///< calibration text; none: the built-in corpus
  std::uint64_t samples = 512;                ///< 0: no pass, only the files of `merge`
  std::uint64_t ctx = 512;
  bool moe_all_experts = false;    ///< statistics of every expert's inputs as if it got every token
  std::uint32_t layer_groups = 0;  ///< the L of the grid; 0: decided from memory
  bool identify_super_weights = false;
  double coverage = 0.0001;  ///< fraction of all weights, in (0, 0.01]
  ImatrixFileFormat format = ImatrixFileFormat::hdf5;
  std::vector<std::filesystem::path> merge;  ///< importance matrices whose statistics are added
  /// Not empty: the file is kept there under its job's key instead of `output`, and taken from there when the
  /// same job has run before (neither merge nor super weights are part of the key).
  std::filesystem::path cache_directory;
  CheckpointOptions checkpoints;
};

struct AnalyzeResult {
  std::filesystem::path output_path;
  std::filesystem::path report_path;  ///< empty: none was asked for
  std::filesystem::path model_path;
  std::string method = "activation_magnitude";
  std::uint32_t num_layers = 0;
  std::uint64_t calibration_samples = 0;  ///< of this run's pass
  std::uint64_t ctx = 0;
  ImatrixFileFormat format = ImatrixFileFormat::hdf5;
  std::uint64_t merged_files = 0;
  std::uint64_t total_samples = 0;  ///< in the file: those of the merged files included
  double statistic_min = 0;         ///< over the per-column importance of all tensors
  double statistic_max = 0;
  double statistic_mean = 0;
  double statistic_std = 0;
  bool super_weights_identified = false;
  double coverage = 0;
  std::uint64_t total_protected = 0;       ///< covered weights and spikes, each once
  std::vector<SuperWeight> super_weights;  ///< the proved spikes, on rank 0
  std::string content_hash;                ///< of what a reader finds in the file
  std::uint32_t layer_groups = 1;
  std::uint32_t sample_groups = 1;
  bool from_cache = false;  ///< nothing was computed
  bool resumed = false;     ///< from a committed checkpoint
  double seconds = 0;
  double tokens_per_second = 0;
  std::uint64_t peak_memory_bytes = 0;
  /// load, compute, exchange, checkpoint; what compute consists of, summed over the threads of a rank:
  /// matmul, attention, elementwise, statistics. Largest over ranks.
  std::map<std::string, double> phase_seconds;
  std::vector<RankTimeline> timelines;  ///< on rank 0
};

/// Where the result goes when no output is given: "MODEL.imatrix" of the last part of the model's path.
std::filesystem::path default_imatrix_path(const std::filesystem::path& model);

/// Collective. @throws Error with the contract's codes; Error(interrupted) after a committed checkpoint.
AnalyzeResult run_analyze(const StageContext& context, const AnalyzeOptions& options);

}  // namespace llmq
