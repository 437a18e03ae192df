#include "llmq/smoothquant/mapping.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace llmq {
namespace {

/// "blk.0.attn_q.weight" -> "attn_q".
std::string role_of(const std::string& name) {
  const auto end = name.rfind('.');
  const auto begin = name.rfind('.', end - 1) + 1;
  return name.substr(begin, end - begin);
}

}  // namespace

std::string bias_of(const std::string& weight) { return weight.substr(0, weight.rfind('.')) + ".bias"; }

std::string SmoothMapping::name() const {
  std::vector<std::string> roles;
  for (const std::string& weight : balance) roles.push_back(role_of(weight));
  return fmt::format("blk.{}.{} -> {}", layer, role_of(source), fmt::join(roles, ", "));
}

std::vector<SmoothMapping> smooth_mappings(const ModelSpec& spec) {
  std::vector<SmoothMapping> mappings;
  for (std::uint32_t layer = 0; layer < spec.n_layers; ++layer) {
    const auto name = [&](const char* role) { return fmt::format("blk.{}.{}.weight", layer, role); };
    const auto add = [&](FoldKind kind, MatmulInput input, const char* from,
                         const std::vector<const char*>& to, std::uint64_t channels) {
      SmoothMapping mapping{kind, layer, input, name(from), {}, channels};
      for (const char* role : to) mapping.balance.push_back(name(role));
      mappings.push_back(std::move(mapping));
    };
    if (spec.fused_qkv) {  // rows of one weight cannot be divided by another's scales
      add(FoldKind::norm, MatmulInput::attention, "attn_norm", {"attn_qkv"}, spec.hidden_size);
      add(FoldKind::norm, MatmulInput::ffn, "ffn_norm", {"ffn_up"}, spec.hidden_size);
      continue;
    }
    if (spec.pre_norms)
      add(FoldKind::norm, MatmulInput::attention, "attn_norm", {"attn_q", "attn_k", "attn_v"},
          spec.hidden_size);
    add(FoldKind::value, MatmulInput::attention_output, "attn_v", {"attn_output"},
        std::uint64_t{spec.n_kv_heads} * spec.head_dim);
    if (spec.n_experts > 0) continue;  // experts and their router keep their numbers
    if (spec.pre_norms)
      add(FoldKind::norm, MatmulInput::ffn, "ffn_norm", {"ffn_gate", "ffn_up"}, spec.hidden_size);
    add(FoldKind::up, MatmulInput::ffn_down, "ffn_up", {"ffn_down"}, spec.intermediate_size);
  }
  return mappings;
}

std::uint64_t channel_of_column(const SmoothMapping& mapping, const ModelSpec& spec, std::uint64_t column) {
  if (mapping.kind != FoldKind::value) return column;
  const std::uint64_t group = spec.n_heads / spec.n_kv_heads;
  const std::uint64_t head = column / spec.head_dim;
  return head / group * spec.head_dim + column % spec.head_dim;
}

std::vector<float> largest_of_channels(const SmoothMapping& mapping, const ModelSpec& spec,
                                       std::span<const float> of_columns) {
  std::vector<float> largest(mapping.channels, 0);
  for (std::uint64_t column = 0; column < of_columns.size(); ++column) {
    float& channel = largest[channel_of_column(mapping, spec, column)];
    channel = std::max(channel, of_columns[column]);
  }
  return largest;
}

}  // namespace llmq
