#include "llmq/quant/type_policy.hpp"

#include <algorithm>
#include <array>
#include <numeric>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"

#include "quant/mixes.hpp"

namespace llmq {
namespace {

using Type = GgmlType;

// name, general.file_type, default type, whether every type of its mix has an encoder
constexpr std::array kLevels = {
    FileLevel{"F32", 0, Type::F32, true},           FileLevel{"F16", 1, Type::F16, true},
    FileLevel{"BF16", 32, Type::BF16, true},        FileLevel{"Q4_0", 2, Type::Q4_0, true},
    FileLevel{"Q4_1", 3, Type::Q4_1, false},        FileLevel{"Q5_0", 8, Type::Q5_0, false},
    FileLevel{"Q5_1", 9, Type::Q5_1, false},        FileLevel{"Q8_0", 7, Type::Q8_0, true},
    FileLevel{"Q2_K", 10, Type::Q2_K, false},       FileLevel{"Q2_K_S", 21, Type::Q2_K, false},
    FileLevel{"Q3_K_S", 11, Type::Q3_K, false},     FileLevel{"Q3_K_M", 12, Type::Q3_K, false},
    FileLevel{"Q3_K_L", 13, Type::Q3_K, false},     FileLevel{"Q4_K_S", 14, Type::Q4_K, true},
    FileLevel{"Q4_K_M", 15, Type::Q4_K, true},      FileLevel{"Q5_K_S", 16, Type::Q5_K, true},
    FileLevel{"Q5_K_M", 17, Type::Q5_K, true},      FileLevel{"Q6_K", 18, Type::Q6_K, true},
    FileLevel{"IQ1_S", 24, Type::IQ1_S, false},     FileLevel{"IQ1_M", 31, Type::IQ1_M, false},
    FileLevel{"IQ2_XXS", 19, Type::IQ2_XXS, false}, FileLevel{"IQ2_XS", 20, Type::IQ2_XS, false},
    FileLevel{"IQ2_S", 28, Type::IQ2_XS, false},    FileLevel{"IQ2_M", 29, Type::IQ2_S, false},
    FileLevel{"IQ3_XXS", 23, Type::IQ3_XXS, false}, FileLevel{"IQ3_XS", 22, Type::IQ3_S, false},
    FileLevel{"IQ3_S", 26, Type::IQ3_S, false},     FileLevel{"IQ3_M", 27, Type::IQ3_S, false},
    FileLevel{"IQ4_NL", 25, Type::IQ4_NL, false},   FileLevel{"IQ4_XS", 30, Type::IQ4_XS, false},
    FileLevel{"TQ1_0", 36, Type::TQ1_0, false},     FileLevel{"TQ2_0", 37, Type::TQ2_0, false},
};

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
  Chooser(const FileLevel& level, const MixModel& model, std::span<const MixTensor> tensors, bool has_imatrix)
      : level_(level), model_(model), has_imatrix_(has_imatrix), mix_(find_mix(level.file_type)) {
    for (const MixTensor& tensor : tensors) {
      has_output_ = has_output_ || tensor.name == "output.weight";
      if (contains(tensor.name, "attn_v.weight") || contains(tensor.name, "attn_qkv.weight") ||
          contains(tensor.name, "attn_kv_b.weight")) {
        ++attn_v_count_;
      }
    }
    if (mix_ == nullptr && block_type(level.default_type).block_elems > 1) {
      throw Error(ExitCode::unsupported_conversion, fmt::format("level {} is not supported yet", level.name));
    }
  }

  Type choose(const MixTensor& tensor) {
    if (mix_ == nullptr) return level_.default_type;  // F32, F16, BF16: no mixture
    const std::string& name = tensor.name;
    if (name == "output.weight" || (name == "token_embd.weight" && !has_output_)) return output_type(tensor);
    if (name == "token_embd.weight") return level_.default_type;
    if (contains(name, "attn_v.weight"))
      return mix_->attn_v(level_.default_type, position(attn_v_seen_++, attn_v_count_));
    const auto layer = static_cast<std::uint32_t>(std::max<std::int64_t>(0, layer_of(name)));
    if (contains(name, "attn_k.weight") && model_.expert_count == 8) return Type::Q8_0;
    if (contains(name, "attn_output.weight"))
      return mix_->attn_output(level_.default_type, position(layer, model_.n_layers));
    if (contains(name, "ffn_down"))
      return mix_->ffn_down(level_.default_type, position(layer, model_.n_layers));
    return level_.default_type;
  }

 private:
  MixPosition position(std::uint32_t index, std::uint32_t count) const {
    return {index, count, has_imatrix_, &model_};
  }

  Type output_type(const MixTensor& tensor) const {
    if (tensor.ne0 % block_type(level_.default_type).block_elems != 0 || level_.default_type == Type::Q8_0)
      return Type::Q8_0;
    return Type::Q6_K;
  }

  const FileLevel& level_;
  const MixModel& model_;
  bool has_imatrix_;
  const Mix* mix_;
  bool has_output_ = false;
  std::uint32_t attn_v_count_ = 0;
  std::uint32_t attn_v_seen_ = 0;
};

}  // namespace

std::span<const FileLevel> file_levels() noexcept { return kLevels; }

const FileLevel* find_file_level(std::string_view name) noexcept {
  for (const FileLevel& level : kLevels) {
    if (equals_ignore_case(level.name, name)) return &level;
  }
  return nullptr;
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

GgmlType fallback_type(GgmlType wanted, std::uint64_t row_elems) noexcept {
  if (row_elems % block_type(wanted).block_elems == 0) return wanted;
  Type next = Type::F16;
  switch (wanted) {
    case Type::IQ1_S:
    case Type::IQ1_M:
    case Type::IQ2_XXS:
    case Type::IQ2_XS:
    case Type::IQ2_S:
    case Type::IQ3_XXS:
    case Type::IQ3_S:
    case Type::IQ4_XS:
      next = Type::IQ4_NL;
      break;
    case Type::Q2_K:
    case Type::Q3_K:
    case Type::TQ1_0:
    case Type::TQ2_0:
    case Type::Q2_0:
      next = Type::Q4_0;
      break;
    case Type::Q4_K:
      next = Type::Q5_0;
      break;
    case Type::Q5_K:
      next = Type::Q5_1;
      break;
    case Type::Q6_K:
      next = Type::Q8_0;
      break;
    default:
      break;
  }
  return row_elems % block_type(next).block_elems == 0 ? next : Type::F16;
}

std::vector<TypeChoice> choose_types(const FileLevel& level, const MixModel& model,
                                     std::span<const MixTensor> tensors, bool has_imatrix) {
  Chooser chooser(level, model, tensors, has_imatrix);
  std::vector<TypeChoice> choices(tensors.size());
  for (const std::size_t index : rule_order(tensors)) {
    const MixTensor& tensor = tensors[index];
    TypeChoice& choice = choices[index];
    choice.type = tensor.source_type;
    if (!is_eligible(tensor)) continue;
    const Type wanted = chooser.choose(tensor);
    choice.type = fallback_type(wanted, tensor.ne0);
    choice.quantized = true;
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
