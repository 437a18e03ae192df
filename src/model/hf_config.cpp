// config.json of a model, and its tensors under their Hugging Face names.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <string>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "llmq/core/error.hpp"
#include "llmq/core/json.hpp"
#include "llmq/model/hf_files.hpp"

#include "model/architectures/architecture.hpp"
#include "model/architectures/config_numbers.hpp"

namespace llmq {
namespace {

using Json = nlohmann::ordered_json;

/// As close as two ways to compute a factor in single precision come.
bool same_factors(const std::vector<float>& a, const std::vector<float>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](float one, float other) {
    return std::fabs(one - other) <= 1e-5F * std::fabs(other);
  });
}

/// GGUF keeps the factors of Llama 3's scaling and not what they were computed from: of the settings that
/// models use, the first that gives them.
Json llama3_scaling(const ModelSpec& spec) {
  ModelSpec tried = spec;
  tried.stored_rope_factors.clear();
  tried.rope_scaling = RopeScaling::llama3;
  tried.rope_low_freq_factor = 1;
  const float last = spec.stored_rope_factors.back();
  tried.rope_factor = std::round(last) > 1 && std::fabs(last - std::round(last)) < 1e-4F * last
                          ? std::round(last)
                          : shortest(last);
  for (const double high : {4.0, 2.0, 8.0, 16.0, 32.0}) {
    for (const double context :
         {8192.0, 4096.0, 2048.0, 1024.0, 512.0, 256.0, 128.0, 16384.0, 32768.0, 65536.0, 131072.0}) {
      tried.rope_high_freq_factor = high;
      tried.rope_original_context = context;
      if (!same_factors(tried.rope_freq_factors(), spec.stored_rope_factors)) continue;
      return {{"rope_type", "llama3"},
              {"factor", tried.rope_factor},
              {"low_freq_factor", 1.0},
              {"high_freq_factor", high},
              {"original_max_position_embeddings", static_cast<std::uint64_t>(context)}};
    }
  }
  throw Error(ExitCode::unsupported_conversion,
              "rope_freqs.weight holds factors that no known setting of the scaling llama3 gives",
              "Take config.json from the directory that the file was made from");
}

/// The decimal of fewest digits of which GGUF keeps the same number.
double yarn_attention_factor(const ModelSpec& spec) {
  const double usual = spec.yarn_attention();
  const double value = static_cast<double>(spec.rope_attention_factor) * usual;
  for (double unit = 10; unit < 1e12; unit *= 10) {
    const double decimal = std::round(value * unit) / unit;
    if (static_cast<float>(decimal / usual) == spec.rope_attention_factor) return decimal;
  }
  return value;
}

Json yarn_scaling(const ModelSpec& spec) {
  Json scaling = {
      {"rope_type", "yarn"},
      {"factor", shortest(static_cast<float>(spec.rope_factor))},
      {"original_max_position_embeddings", static_cast<std::uint64_t>(spec.rope_original_context)}};
  if (spec.rope_attention_factor != 1) scaling["attention_factor"] = yarn_attention_factor(spec);
  return scaling;
}

Json rope_scaling(const ModelSpec& spec) {
  if (spec.rope_scaling == RopeScaling::yarn) return yarn_scaling(spec);
  if (!spec.stored_rope_factors.empty()) return llama3_scaling(spec);
  if (spec.rope_scaling == RopeScaling::linear)
    return {{"rope_type", "linear"}, {"factor", shortest(static_cast<float>(spec.rope_factor))}};
  return nullptr;
}

void set_ids(const Vocabulary& vocabulary, Json& config) {
  const auto set = [&](const char* key, const std::optional<TokenId>& id) {
    if (id) config[key] = *id;
  };
  set("bos_token_id", vocabulary.bos);
  set("eos_token_id", vocabulary.eos);
  set("pad_token_id", vocabulary.pad);
}

}  // namespace

std::string hf_config_text(const ModelSpec& spec, const Vocabulary& vocabulary, std::string_view dtype) {
  Json config;
  if (!spec.name.empty()) config["_name_or_path"] = spec.name;
  config["architectures"] = Json::array({spec.class_name});
  config["model_type"] = spec.architecture;
  config["hidden_size"] = spec.hidden_size;
  config["intermediate_size"] = spec.intermediate_size;
  config["num_hidden_layers"] = spec.n_layers;
  config["num_attention_heads"] = spec.n_heads;
  config["num_key_value_heads"] = spec.n_kv_heads;
  if (spec.explicit_head_dim) config["head_dim"] = spec.head_dim;
  config["vocab_size"] = spec.vocab_size;
  config["max_position_embeddings"] = spec.context_length;
  config[spec.norm == Norm::rms ? "rms_norm_eps" : "layer_norm_eps"] = shortest(spec.rms_norm_eps);
  config["rope_theta"] = shortest(static_cast<float>(spec.rope_theta));
  config["rope_scaling"] = rope_scaling(spec);
  config[spec.activation == Activation::gelu_tanh ? "hidden_activation" : "hidden_act"] =
      spec.activation == Activation::gelu_tanh ? "gelu_pytorch_tanh" : "silu";
  config["tie_word_embeddings"] = spec.tied_embeddings;
  find_architecture(spec.architecture)->write_config(spec, config);
  set_ids(vocabulary, config);
  config["torch_dtype"] = dtype;
  return config.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::vector<HfTensor> hf_tensors(const ModelSource& source, const std::string& config) {
  const ModelSpec spec = model_spec_from_config(
      parse_json_strict(config, "config.json", ExitCode::validation), "config.json", source.spec().name);
  std::vector<HfTensor> tensors;
  std::size_t taken = 0;
  for (const TensorRule& rule : find_architecture(spec.architecture)->tensor_rules(spec)) {
    const ModelTensor* found = source.find(rule.gguf_name);
    if (found == nullptr) {
      if (!rule.required) continue;
      throw InternalError(fmt::format("config.json asks for {}, which the model has not", rule.hf_name));
    }
    std::vector<std::uint64_t> shape;
    for (std::uint32_t d = found->n_dims; d > 0; --d) shape.push_back(found->ne[d - 1]);
    if (shape != rule.shape)
      throw InternalError(fmt::format("config.json gives {} the shape [{}], the model [{}]", rule.hf_name,
                                      fmt::join(rule.shape, ", "), fmt::join(shape, ", ")));
    const std::uint32_t pieces = std::max(rule.experts, 1U);
    if (rule.experts > 0) shape.erase(shape.begin());
    for (std::uint32_t expert = 0; expert < pieces; ++expert) {
      const std::uint64_t rows = found->rows() / pieces;
      tensors.push_back(
          {found, expert * rows, rows, expert, name_of_expert(rule.hf_name, expert), shape, rule.offset});
    }
    ++taken;
  }
  const auto stored = std::count_if(source.tensors().begin(), source.tensors().end(),
                                    [](const ModelTensor& tensor) { return !tensor.source_name.empty(); });
  if (std::cmp_not_equal(stored, taken))
    throw InternalError(
        fmt::format("config.json leaves out {} tensors", static_cast<std::size_t>(stored) - taken));
  return tensors;
}

}  // namespace llmq
