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

std::string SmoothMapping::name() const {
  std::vector<std::string> roles;
  for (const std::string& weight : balance) roles.push_back(role_of(weight));
  return fmt::format("blk.{}.{} -> {}", layer, role_of(source), fmt::join(roles, ", "));
}

std::vector<SmoothMapping> smooth_mappings(const ModelSpec& spec) {
  std::vector<SmoothMapping> mappings;
  for (std::uint32_t layer = 0; layer < spec.n_layers; ++layer) {
    const auto name = [&](const char* role) { return fmt::format("blk.{}.{}.weight", layer, role); };
    mappings.push_back({FoldKind::norm,
                        layer,
                        MatmulInput::attention,
                        name("attn_norm"),
                        {name("attn_q"), name("attn_k"), name("attn_v")},
                        spec.hidden_size});
    mappings.push_back({FoldKind::value,
                        layer,
                        MatmulInput::attention_output,
                        name("attn_v"),
                        {name("attn_output")},
                        std::uint64_t{spec.n_kv_heads} * spec.head_dim});
    mappings.push_back({FoldKind::norm,
                        layer,
                        MatmulInput::ffn,
                        name("ffn_norm"),
                        {name("ffn_gate"), name("ffn_up")},
                        spec.hidden_size});
    mappings.push_back({FoldKind::up,
                        layer,
                        MatmulInput::ffn_down,
                        name("ffn_up"),
                        {name("ffn_down")},
                        spec.intermediate_size});
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
