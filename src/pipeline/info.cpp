#include "llmq/pipeline/info.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/formats/gguf_split.hpp"
#include "llmq/formats/imatrix.hpp"
#include "llmq/model/source.hpp"
#include "llmq/pipeline/quantize.hpp"
#include "llmq/quant/type_policy.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

std::string file_type_name(const GgufMetadata& metadata) {
  const auto number = metadata.integer("general.file_type");
  if (!number) return "unknown";
  for (const FileLevel& level : file_levels()) {
    if (level.file_type == static_cast<std::uint64_t>(*number)) return std::string(level.name);
  }
  return fmt::format("file type {}", *number);
}

std::string value_text(const GgufValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  if (const auto* number = std::get_if<std::uint32_t>(&value)) return std::to_string(*number);
  if (const auto* number = std::get_if<std::int32_t>(&value)) return std::to_string(*number);
  return "";
}

void add_gguf_details(const fs::path& path, ModelInfo& info) {
  const GgufSet file(path);
  const GgufHeader& header = file.header();
  info.bytes = file.file_bytes();
  info.files = file.files().size();
  info.architecture = header.metadata.string("general.architecture").value_or("");
  info.file_type = file_type_name(header.metadata);
  std::uint64_t bytes = 0;
  std::uint64_t weights = 0;
  for (const GgufTensorInfo& tensor : header.tensors) {
    ++info.tensors_by_type[std::string(type_name(tensor.type))];
    bytes += tensor.size_bytes;
    weights += tensor.elements();
  }
  info.bits_per_weight = weights == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
  for (const auto& pair : header.metadata.pairs()) {
    if (pair.key.starts_with("llm_quantize.") || pair.key.starts_with("quantize.")) {
      info.provenance.emplace_back(pair.key, value_text(pair.value));
    }
  }
}

/// Parameters without those of the experts a token is not given to.
std::uint64_t active_parameters(const ModelSource& source) {
  const ModelSpec& spec = source.spec();
  std::uint64_t idle = 0;
  for (const ModelTensor& tensor : source.tensors()) {
    if (spec.n_experts > 0 && tensor.ne[2] == spec.n_experts)
      idle += tensor.elements() / spec.n_experts * (spec.n_experts - spec.n_experts_used);
  }
  return source.parameter_count() - idle;
}

ModelInfo model_info(const fs::path& path) {
  const auto source = open_model(path);
  const ModelSpec& spec = source->spec();
  ModelInfo info;
  info.model_name = source->is_gguf() ? spec.name : model_base_name(path);
  info.architecture = spec.class_name;
  info.parameter_count = source->parameter_count();
  info.active_parameter_count = active_parameters(*source);
  info.num_experts = spec.n_experts;
  info.num_experts_used = spec.n_experts_used;
  info.shared_expert = spec.shared_ffn > 0;
  info.hidden_size = spec.hidden_size;
  info.num_layers = spec.n_layers;
  info.num_heads = spec.n_heads;
  info.num_kv_heads = spec.n_kv_heads;
  info.vocab_size = spec.vocab_size;
  info.context_length = spec.context_length;
  info.torch_dtype = spec.torch_dtype;
  info.bytes = source->stored_bytes();
  if (source->is_gguf()) add_gguf_details(path, info);
  return info;
}

ImatrixInfo imatrix_info(const fs::path& path) {
  const Imatrix imatrix = read_imatrix(path);
  ImatrixInfo info;
  info.method = imatrix.method;
  info.dataset = imatrix.dataset_name;
  info.samples = imatrix.samples;
  info.ctx = imatrix.ctx;
  info.entries = imatrix.entries.size();
  info.content_hash = imatrix.content_hash();
  info.model_hash = imatrix.model_hash;
  info.gaps = find_gaps(imatrix);
  info.super_weights_searched = imatrix.super_weights.searched;
  info.super_weights = imatrix.count_super_weights();
  const ImportanceSummary summary = summarize_importance(imatrix);
  info.importance_min = summary.min;
  info.importance_max = summary.max;
  info.importance_mean = summary.mean;
  for (const auto& [name, entry] : imatrix.entries) {
    std::uint64_t measured = 0;
    for (std::uint64_t mat = 0; mat < entry.n_mat; ++mat)
      measured += entry.importance_count(mat) > 0 ? 1U : 0U;
    if (measured < entry.n_mat) info.uncovered_experts.push_back(name);
  }
  return info;
}

}  // namespace

Info read_info(const fs::path& path) {
  Info info;
  if (fs::is_regular_file(path) && looks_like_imatrix(path)) {
    info.imatrix = imatrix_info(path);
  } else {
    info.model = model_info(path);
  }
  return info;
}

}  // namespace llmq
