#include "quant/mixes.hpp"

#include <array>

namespace llmq {
namespace {

using Type = GgmlType;

Type plain(Type level_default, const MixPosition&) noexcept { return level_default; }

bool first_eighth(const MixPosition& at) noexcept { return at.index < at.count / 8; }
bool eight_experts(const MixPosition& at) noexcept { return at.model->expert_count == 8; }

/// After the level's own rule: large models and models with eight experts spend more on attn_v.
Type raise_attn_v(Type type, const MixPosition& at) noexcept {
  const bool seventy_b = at.model->n_layers == 80 && at.model->head_count != at.model->head_count_kv;
  if (eight_experts(at)) return Type::Q8_0;
  if (seventy_b && (type == Type::Q3_K || type == Type::Q4_K)) return Type::Q5_K;
  return type;
}

Type v_plain(Type level_default, const MixPosition& at) noexcept { return raise_attn_v(level_default, at); }
Type v_first_four(Type level_default, const MixPosition& at) noexcept {
  return raise_attn_v(at.index < 4 ? Type::Q5_K : level_default, at);
}
Type v_more_bits(Type level_default, const MixPosition& at) noexcept {
  return raise_attn_v(use_more_bits(at.index, at.count) ? Type::Q6_K : level_default, at);
}
Type output_experts(Type level_default, const MixPosition& at) noexcept {
  return eight_experts(at) ? Type::Q5_K : level_default;
}
Type down_q4_0(Type level_default, const MixPosition& at) noexcept {
  return first_eighth(at) && at.has_imatrix ? Type::Q4_1 : level_default;
}
Type down_first_eighth(Type level_default, const MixPosition& at) noexcept {
  return first_eighth(at) ? Type::Q5_K : level_default;
}
Type down_more_bits(Type level_default, const MixPosition& at) noexcept {
  return use_more_bits(at.index, at.count) ? Type::Q6_K : level_default;
}

constexpr std::array kMixes = {
    Mix{2, &v_plain, &plain, &down_q4_0},                         // Q4_0
    Mix{7, &v_plain, &plain, &plain},                             // Q8_0
    Mix{14, &v_first_four, &output_experts, &down_first_eighth},  // Q4_K_S
    Mix{15, &v_more_bits, &output_experts, &down_more_bits},      // Q4_K_M
    Mix{16, &v_plain, &plain, &plain},                            // Q5_K_S
    Mix{17, &v_more_bits, &plain, &down_more_bits},               // Q5_K_M
    Mix{18, &v_plain, &plain, &plain},                            // Q6_K
};

}  // namespace

const Mix* find_mix(std::uint32_t file_type) noexcept {
  for (const Mix& mix : kMixes) {
    if (mix.file_type == file_type) return &mix;
  }
  return nullptr;
}

}  // namespace llmq
