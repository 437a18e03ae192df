#include "quant/mixes.hpp"

#include <algorithm>

#include "llmq/core/error.hpp"

namespace llmq {
namespace {

using enum GgmlType;
using At = MixPosition;

bool always(const At&) noexcept { return true; }
bool first_two(const At& at) noexcept { return at.index < 2; }
bool first_four(const At& at) noexcept { return at.index < 4; }
bool first_eighth(const At& at) noexcept { return at.index < at.count / 8; }
bool first_sixteenth(const At& at) noexcept { return at.index < at.count / 16; }
bool middle(const At& at) noexcept { return at.index >= at.count / 8 && at.index < 7 * at.count / 8; }
bool more_bits(const At& at) noexcept { return use_more_bits(at.index, at.count); }
/// Four or more query heads share a key head.
bool grouped(const At& at) noexcept {
  const MixModel& model = *at.model;
  return model.head_count_kv > 0 && model.head_count / model.head_count_kv >= 4;
}
bool eight_experts(const At& at) noexcept { return at.model->expert_count == 8; }
bool not_eight_experts(const At& at) noexcept { return !eight_experts(at); }
bool grouped_or_experts(const At& at) noexcept { return grouped(at) || at.model->expert_count >= 4; }
bool without_imatrix(const At& at) noexcept { return !at.has_imatrix; }
bool first_eighth_with_imatrix(const At& at) noexcept { return first_eighth(at) && at.has_imatrix; }
bool first_eighth_without_imatrix(const At& at) noexcept { return first_eighth(at) && !at.has_imatrix; }
bool first_eighth_or_experts(const At& at) noexcept {
  return first_eighth(at) || (eight_experts(at) && more_bits(at));
}

constexpr MixRule to(GgmlType type) { return {{{{&always, type}}}}; }
constexpr MixRule when(MixCondition first, GgmlType type) { return {{{{first, type}}}}; }
constexpr MixRule when(MixCondition first, GgmlType type, MixCondition second, GgmlType other) {
  return {{{{first, type}, {second, other}}}};
}

/// No mixture: every eligible tensor to one type.
constexpr Mix plain(std::string_view level, std::uint32_t file_type, GgmlType type) {
  return {.level = level, .file_type = file_type, .base = type, .output = type, .family = MixFamily::plain};
}

/// IQ1_S to IQ2_M: attention and the first ffn_down keep `keep` where the rest goes to the default.
constexpr Mix tiny(std::string_view level, std::uint32_t file_type, GgmlType base, GgmlType keep,
                   GgmlType attn_output) {
  return {.level = level,
          .file_type = file_type,
          .base = base,
          .output = Q5_K,
          .family = MixFamily::low_bit,
          .token_embd = to(keep),
          .attn_k = when(&eight_experts, Q4_K),
          .attn_v = when(&grouped_or_experts, Q4_K, &always, keep),
          .attn_output = when(&eight_experts, Q5_K, &always, attn_output),
          .ffn_down = when(&first_eighth, keep)};
}

constexpr MixRule kExpertsQ5K = when(&eight_experts, Q5_K);

// clang-format off
constexpr Mix kMixes[] = {
    plain("F32", 0, F32),
    plain("F16", 1, F16),
    plain("BF16", 32, BF16),
    {.level = "Q4_0", .file_type = 2, .base = Q4_0, .output = Q6_K,
     .ffn_down = when(&first_eighth_with_imatrix, Q4_1)},
    {.level = "Q4_1", .file_type = 3, .base = Q4_1, .output = Q6_K},
    {.level = "Q5_0", .file_type = 8, .base = Q5_0, .output = Q6_K,
     .ffn_down = when(&first_eighth_with_imatrix, Q5_1)},
    {.level = "Q5_1", .file_type = 9, .base = Q5_1, .output = Q6_K},
    {.level = "Q8_0", .file_type = 7, .base = Q8_0, .output = Q8_0},
    {.level = "Q2_K", .file_type = 10, .base = Q2_K, .output = Q6_K,
     .attn_v = when(&grouped, Q4_K, &always, Q3_K), .attn_output = when(&eight_experts, Q5_K, &always, Q3_K),
     .ffn_down = to(Q3_K)},
    {.level = "Q2_K_S", .file_type = 21, .base = Q2_K, .output = Q6_K,
     .attn_v = when(&grouped, Q4_K), .ffn_down = when(&first_eighth, Q4_K)},
    {.level = "Q3_K_S", .file_type = 11, .base = Q3_K, .output = Q6_K, .attn_output = kExpertsQ5K},
    {.level = "Q3_K_M", .file_type = 12, .base = Q3_K, .output = Q6_K,
     .attn_v = when(&first_two, Q5_K, &always, Q4_K), .attn_qkv = to(Q4_K),
     .attn_output = when(&eight_experts, Q5_K, &always, Q4_K), .ffn_down = when(&first_sixteenth, Q5_K, &always, Q4_K)},
    {.level = "Q3_K_L", .file_type = 13, .base = Q3_K, .output = Q6_K, .attn_v = to(Q5_K),
     .attn_qkv = to(Q4_K), .attn_output = when(&not_eight_experts, Q5_K), .ffn_down = to(Q5_K)},
    {.level = "Q4_K_S", .file_type = 14, .base = Q4_K, .output = Q6_K,
     .attn_v = when(&first_four, Q5_K), .attn_output = kExpertsQ5K, .ffn_down = when(&first_eighth, Q5_K)},
    {.level = "Q4_K_M", .file_type = 15, .base = Q4_K, .output = Q6_K,
     .attn_v = when(&more_bits, Q6_K), .attn_qkv = to(Q5_K), .attn_output = kExpertsQ5K,
     .ffn_down = when(&more_bits, Q6_K)},
    {.level = "Q5_K_S", .file_type = 16, .base = Q5_K, .output = Q6_K},
    {.level = "Q5_K_M", .file_type = 17, .base = Q5_K, .output = Q6_K,
     .attn_v = when(&more_bits, Q6_K), .attn_qkv = to(Q6_K), .ffn_down = when(&more_bits, Q6_K)},
    {.level = "Q6_K", .file_type = 18, .base = Q6_K, .output = Q6_K},
    tiny("IQ1_S", 24, IQ1_S, Q2_K, IQ2_XXS),
    tiny("IQ1_M", 31, IQ1_M, Q2_K, IQ2_XXS),
    tiny("IQ2_XXS", 19, IQ2_XXS, Q2_K, IQ2_XXS),
    tiny("IQ2_XS", 20, IQ2_XS, Q2_K, IQ2_XS),
    tiny("IQ2_S", 28, IQ2_XS, IQ3_S, IQ3_S),
    tiny("IQ2_M", 29, IQ2_S, IQ3_S, IQ3_S),
    {.level = "IQ3_XXS", .file_type = 23, .base = IQ3_XXS, .output = Q5_K, .token_embd = to(IQ3_S),
     .attn_q = to(IQ2_S), .attn_k = to(IQ2_S), .attn_v = when(&grouped, Q4_K, &without_imatrix, IQ3_S),
     .attn_output = when(&eight_experts, Q5_K, &always, IQ3_S),
     .ffn_down = when(&first_eighth_without_imatrix, Q4_K, &without_imatrix, Q3_K)},
    {.level = "IQ3_XS", .file_type = 22, .base = IQ3_S, .output = Q6_K, .attn_q = to(IQ3_XXS),
     .attn_k = to(IQ3_XXS), .attn_v = when(&grouped, Q4_K), .attn_output = kExpertsQ5K,
     .ffn_gate_up = when(&middle, IQ3_XXS)},
    {.level = "IQ3_S", .file_type = 26, .base = IQ3_S, .output = Q6_K,
     .attn_v = when(&grouped, Q4_K), .attn_output = kExpertsQ5K},
    {.level = "IQ3_M", .file_type = 27, .base = IQ3_S, .output = Q6_K, .attn_v = to(Q4_K),
     .attn_qkv = to(Q4_K), .attn_output = when(&eight_experts, Q5_K, &always, Q4_K),
     .ffn_down = when(&first_eighth_or_experts, Q4_K)},
    {.level = "IQ4_NL", .file_type = 25, .base = IQ4_NL, .output = Q6_K,
     .attn_v = when(&grouped, Q5_K), .attn_output = kExpertsQ5K,
     .ffn_down = when(&first_eighth_without_imatrix, Q5_K)},
    {.level = "IQ4_XS", .file_type = 30, .base = IQ4_XS, .output = Q6_K,
     .attn_v = when(&grouped, Q5_K), .attn_output = kExpertsQ5K,
     .ffn_down = when(&first_eighth_without_imatrix, Q5_K)},
    {.level = "TQ1_0", .file_type = 36, .base = TQ1_0, .output = Q6_K, .token_embd = to(Q4_K)},
    {.level = "TQ2_0", .file_type = 37, .base = TQ2_0, .output = Q6_K, .token_embd = to(Q4_K)},
};
// clang-format on

}  // namespace

std::span<const Mix> mixes() noexcept { return kMixes; }

const Mix& find_mix(std::uint32_t file_type) {
  for (const Mix& mix : kMixes) {
    if (mix.file_type == file_type) return mix;
  }
  throw InternalError("a file level without a mix");
}

GgmlType apply(const MixRule& rule, GgmlType base, const MixPosition& position) noexcept {
  for (const MixCase& one : rule.cases) {
    if (one.when != nullptr && one.when(position)) return one.type;
  }
  return base;
}

GgmlType apply_attn_v(const Mix& mix, const MixPosition& position) noexcept {
  const GgmlType type = apply(mix.attn_v, mix.base, position);
  if (mix.family != MixFamily::usual) return type;
  if (eight_experts(position)) return Q8_0;
  const MixModel& model = *position.model;
  const bool seventy_b = model.n_layers == 80 && model.head_count != model.head_count_kv;
  return seventy_b && (type == Q3_K || type == Q4_K) ? Q5_K : type;
}

GgmlType apply_attn_k(const Mix& mix, const MixPosition& position) noexcept {
  if (mix.family == MixFamily::usual && eight_experts(position)) return Q8_0;
  return apply(mix.attn_k, mix.base, position);
}

std::vector<GgmlType> possible_types(const Mix& mix) {
  std::vector<GgmlType> types = {mix.base};
  const auto add = [&](GgmlType type) {
    if (std::find(types.begin(), types.end(), type) == types.end()) types.push_back(type);
  };
  add(mix.output);
  if (mix.family != MixFamily::plain) add(Q8_0);  // an output whose rows do not fit
  for (const MixRule& rule : {mix.token_embd, mix.attn_q, mix.attn_k, mix.attn_v, mix.attn_qkv,
                              mix.attn_output, mix.ffn_gate_up, mix.ffn_down}) {
    for (const MixCase& one : rule.cases) {
      if (one.when != nullptr) add(one.type);
    }
  }
  if (mix.family == MixFamily::usual) add(Q5_K);  // attn_v of an 80-layer model
  for (std::size_t i = 0; i < types.size(); ++i) {
    if (block_type(types[i]).block_elems == 1) continue;
    add(row_fallback(types[i]));  // the list grows while it is walked: fallbacks of fallbacks
  }
  return types;
}

}  // namespace llmq
