// Keys of an output file that describe the model.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <fmt/format.h>

#include "llmq/formats/gguf.hpp"
#include "llmq/model/source.hpp"

#include "model/architectures/architecture.hpp"
#include "model/rope_gguf.hpp"

namespace llmq {

std::string size_label(std::uint64_t parameter_count) {
  const auto count = static_cast<double>(parameter_count);
  double unit = 1e3;
  char letter = 'K';
  if (count > 1e12) {
    unit = 1e12, letter = 'T';
  } else if (count > 1e9) {
    unit = 1e9, letter = 'B';
  } else if (count > 1e6) {
    unit = 1e6, letter = 'M';
  }
  const double scaled = count / unit;
  const auto digits = static_cast<int>(std::to_string(static_cast<std::uint64_t>(std::round(scaled))).size());
  return fmt::format("{:.{}f}{}", scaled, std::max(0, 2 - digits), letter);
}

void write_model_metadata(const ModelSpec& spec, std::uint64_t parameter_count, GgufMetadata& metadata) {
  metadata.set("general.architecture", spec.architecture);
  metadata.set("general.type", std::string("model"));
  metadata.set("general.name", spec.name);
  metadata.set("general.size_label", size_label(parameter_count));
  const auto key = [&](std::string_view name) { return fmt::format("{}.{}", spec.architecture, name); };
  metadata.set(key("block_count"), spec.n_layers);
  metadata.set(key("context_length"), spec.context_length);
  metadata.set(key("embedding_length"), spec.hidden_size);
  metadata.set(key("feed_forward_length"), spec.intermediate_size);
  metadata.set(key("attention.head_count"), spec.n_heads);
  metadata.set(key("attention.head_count_kv"), spec.n_kv_heads);
  metadata.set(
      key(spec.norm == Norm::rms ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon"),
      spec.rms_norm_eps);
  if (spec.explicit_head_dim) {
    metadata.set(key("attention.key_length"), spec.head_dim);
    metadata.set(key("attention.value_length"), spec.head_dim);
  }
  if (spec.n_experts > 0) {
    metadata.set(key("expert_count"), spec.n_experts);
    metadata.set(key("expert_used_count"), spec.n_experts_used);
  }
  write_rope(spec, metadata);
  find_architecture(spec.architecture)->write_metadata(spec, metadata);
}

}  // namespace llmq
