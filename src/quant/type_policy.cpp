#include "llmq/quant/type_policy.hpp"

#include <algorithm>
#include <numeric>

#include "llmq/core/text.hpp"
#include "llmq/quant/codec.hpp"

#include "quant/mixes.hpp"

namespace llmq {
namespace {

using Type = GgmlType;

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

/// Layer number of "blk.N.", or -1.
std::int64_t layer_of(const std::string& name) {
  if (!name.starts_with("blk.")) return -1;
  std::int64_t layer = 0;
  for (std::size_t i = 4; i < name.size() && name[i] >= '0' && name[i] <= '9' && layer < (1 << 24); ++i) {
    layer = 10 * layer + (name[i] - '0');
  }
  return layer;
}

/// Processing order of the rules: tensors outside the layers by name, then layer by layer, each by name.
std::vector<std::size_t> rule_order(std::span<const MixTensor> tensors) {
  std::vector<std::size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const std::int64_t la = layer_of(tensors[a].name);
    const std::int64_t lb = layer_of(tensors[b].name);
    return la != lb ? la < lb : tensors[a].name < tensors[b].name;
  });
  return order;
}

class Chooser {
 public:
  Chooser(const FileLevel& level, const MixModel& model, std::span<const MixTensor> tensors, bool has_imatrix,
          const TypeRules& rules)
      : mix_(find_mix(level.file_type)), rules_(rules), model_(model), has_imatrix_(has_imatrix) {
    for (const MixTensor& tensor : tensors) {
      has_output_ = has_output_ || tensor.name == "output.weight";
      if (contains(tensor.name, "attn_v.weight") || contains(tensor.name, "attn_qkv.weight") ||
          contains(tensor.name, "attn_kv_b.weight")) {
        ++attn_v_count_;
      }
    }
  }

  /// Sets what is wanted for one eligible tensor, before its row length is looked at. Tensors that a rule of
  /// the user decides are not counted by the mix.
  void choose(const MixTensor& tensor, TypeChoice& choice) {
    const RuledType ruled = ruled_type(rules_, tensor.name, has_output_);
    choice.quantized = !ruled.kept;
    if (ruled.kept) return;
    choice.rule = ruled.rule;
    choice.type = ruled.type ? *ruled.type : rules_.pure ? mix_.base : mixed(tensor);
  }

 private:
  MixPosition position(std::uint32_t index, std::uint32_t count) const {
    return {index, count, has_imatrix_, &model_};
  }

  Type mixed(const MixTensor& tensor) {
    const std::string& name = tensor.name;
    const auto layer = static_cast<std::uint32_t>(std::max<std::int64_t>(0, layer_of(name)));
    const MixPosition at = position(layer, model_.n_layers);
    if (name == "output.weight" || (name == "token_embd.weight" && !has_output_)) return output(tensor);
    if (name == "token_embd.weight") return apply(mix_.token_embd, mix_.base, at);
    if (contains(name, "attn_v.weight")) return apply_attn_v(mix_, position(attn_v_seen_++, attn_v_count_));
    if (contains(name, "attn_k.weight")) return apply_attn_k(mix_, at);
    if (contains(name, "attn_q.weight")) return apply(mix_.attn_q, mix_.base, at);
    if (contains(name, "attn_qkv.weight")) return apply(mix_.attn_qkv, mix_.base, at);
    if (contains(name, "attn_output.weight")) return apply(mix_.attn_output, mix_.base, at);
    if (contains(name, "ffn_down")) {
      const bool counted = mix_.family == MixFamily::low_bit;
      return apply(mix_.ffn_down, mix_.base, counted ? position(ffn_down_seen_++, model_.n_layers) : at);
    }
    if (contains(name, "ffn_gate") || contains(name, "ffn_up")) return apply(mix_.ffn_gate_up, mix_.base, at);
    return mix_.base;
  }

  Type output(const MixTensor& tensor) const {
    return tensor.ne0 % block_type(mix_.base).block_elems == 0 ? mix_.output : Type::Q8_0;
  }

  const Mix& mix_;
  const TypeRules& rules_;
  const MixModel& model_;
  bool has_imatrix_;
  bool has_output_ = false;
  std::uint32_t attn_v_count_ = 0;
  std::uint32_t attn_v_seen_ = 0;
  std::uint32_t ffn_down_seen_ = 0;
};

bool is_available(const Mix& mix) {
  const std::vector<Type> types = possible_types(mix);
  return std::all_of(types.begin(), types.end(), &can_encode);
}

}  // namespace

std::span<const FileLevel> file_levels() {
  static const std::vector<FileLevel> levels = [] {
    std::vector<FileLevel> made;
    for (const Mix& mix : mixes()) made.push_back({mix.level, mix.file_type, mix.base, is_available(mix)});
    return made;
  }();
  return levels;
}

const FileLevel* find_file_level(std::string_view name) {
  if (equals_ignore_case(name, "TERNARY")) name = "TQ1_0";
  for (const FileLevel& level : file_levels()) {
    if (equals_ignore_case(level.name, name)) return &level;
  }
  return nullptr;
}

RuledType ruled_type(const TypeRules& rules, const std::string& name, bool has_output) {
  const bool output = name == "output.weight";
  const bool embedding = name == "token_embd.weight";
  if (output && rules.leave_output) return {true, std::nullopt, std::nullopt};
  if (embedding && rules.token_embd) return {false, rules.token_embd, std::nullopt};
  if ((output || (embedding && !has_output)) && rules.output) return {false, rules.output, std::nullopt};
  const auto rule = rules.find(name);
  if (rule) return {false, rules.by_name[*rule].type, rule};
  return {};
}

bool is_eligible(const MixTensor& tensor) noexcept {
  const std::string& name = tensor.name;
  const bool matrix = tensor.ne1 > 1 || tensor.ne2 > 1;  // the last dimension above 1 counts
  if (!matrix || !name.ends_with("weight")) return false;
  for (const std::string_view part :
       {"_norm.weight", "ffn_gate_inp.weight", "ssm_conv1d", "attn_rel_b", "time_mix_first", "time_mix_w1",
        "time_mix_w2", "time_mix_decay_w1", "time_mix_decay_w2", "time_mix_lerp_fused"}) {
    if (contains(name, part)) return false;
  }
  return name != "position_embd.weight" && name != "token_types.weight";
}

GgmlType row_fallback(GgmlType wanted) noexcept {
  switch (wanted) {
    case Type::IQ1_S:
    case Type::IQ1_M:
    case Type::IQ2_XXS:
    case Type::IQ2_XS:
    case Type::IQ2_S:
    case Type::IQ3_XXS:
    case Type::IQ3_S:
    case Type::IQ4_XS:
      return Type::IQ4_NL;
    case Type::Q2_K:
    case Type::Q3_K:
    case Type::TQ1_0:
    case Type::TQ2_0:
    case Type::Q2_0:
      return Type::Q4_0;
    case Type::Q4_K:
      return Type::Q5_0;
    case Type::Q5_K:
      return Type::Q5_1;
    case Type::Q6_K:
      return Type::Q8_0;
    default:
      return Type::F16;
  }
}

GgmlType fallback_type(GgmlType wanted, std::uint64_t row_elems) noexcept {
  if (row_elems % block_type(wanted).block_elems == 0) return wanted;
  const Type next = row_fallback(wanted);
  return row_elems % block_type(next).block_elems == 0 ? next : Type::F16;
}

std::vector<TypeChoice> choose_types(const FileLevel& level, const MixModel& model,
                                     std::span<const MixTensor> tensors, bool has_imatrix,
                                     const TypeRules& rules) {
  Chooser chooser(level, model, tensors, has_imatrix, rules);
  std::vector<TypeChoice> choices(tensors.size());
  for (const std::size_t index : rule_order(tensors)) {
    const MixTensor& tensor = tensors[index];
    TypeChoice& choice = choices[index];
    choice.type = tensor.source_type;
    if (!is_eligible(tensor)) continue;
    choice.quantized = true;
    chooser.choose(tensor, choice);
    if (!choice.quantized) continue;
    const Type wanted = choice.type;
    choice.type = fallback_type(wanted, tensor.ne0);
    if (choice.type != wanted) choice.fallback_from = wanted;
  }
  return choices;
}

bool requires_imatrix(GgmlType type, const FileLevel& level, std::string_view tensor_name) noexcept {
  if (tensor_name == "token_embd.weight" || tensor_name == "output.weight") return false;
  switch (type) {
    case Type::IQ3_XXS:
    case Type::IQ2_XXS:
    case Type::IQ2_XS:
    case Type::IQ2_S:
    case Type::IQ1_M:
    case Type::IQ1_S:
      return true;
    case Type::Q2_K:
      return level.name == "Q2_K_S";
    default:
      return false;
  }
}

}  // namespace llmq
