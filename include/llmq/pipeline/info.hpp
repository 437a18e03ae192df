// What a file or directory is: a model, or an importance matrix.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "llmq/formats/imatrix.hpp"

namespace llmq {

struct ModelInfo {
  std::string model_name;
  std::string architecture;  ///< class name of a directory, GGUF name of a file
  std::uint64_t parameter_count = 0;
  std::uint64_t active_parameter_count = 0;  ///< those that work on one token
  std::uint32_t num_experts = 0;             ///< of a layer; 0: no experts
  std::uint32_t num_experts_used = 0;        ///< by a token, beside an expert that all tokens share
  bool shared_expert = false;
  std::uint32_t hidden_size = 0;
  std::uint32_t num_layers = 0;
  std::uint32_t num_heads = 0;
  std::uint32_t num_kv_heads = 0;
  std::uint32_t vocab_size = 0;
  std::uint32_t context_length = 0;
  std::string torch_dtype;
  std::uint64_t bytes = 0;
  // GGUF files only
  std::string file_type;
  std::uint64_t files = 1;
  double bits_per_weight = 0;
  std::map<std::string, std::uint64_t> tensors_by_type;
  std::vector<std::pair<std::string, std::string>> provenance;
};

struct ImatrixInfo {
  std::string method;
  std::string dataset;
  std::uint64_t samples = 0;
  std::uint64_t ctx = 0;
  std::uint64_t entries = 0;
  std::string content_hash;
  std::string model_hash;
  double importance_min = 0;
  double importance_max = 0;
  double importance_mean = 0;
  std::vector<std::string> uncovered_experts;  ///< entries with a matrix that saw no token
  ImatrixGaps gaps;
  bool super_weights_searched = false;
  std::uint64_t super_weights = 0;
};

struct Info {
  std::optional<ModelInfo> model;
  std::optional<ImatrixInfo> imatrix;
};

/// Local. @throws Error(model_not_found | validation | imatrix | unsupported_conversion).
Info read_info(const std::filesystem::path& path);

}  // namespace llmq
