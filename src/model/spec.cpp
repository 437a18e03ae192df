// config.json and GGUF metadata to ModelSpec, with the checks that keep later arithmetic safe.
// SPDX-License-Identifier: Apache-2.0
#include "llmq/model/spec.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "llmq/core/checked.hpp"
#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/core/json.hpp"
#include "llmq/formats/gguf.hpp"
#include "llmq/hub/cache.hpp"

#include "model/architectures/architecture.hpp"
#include "model/config_reader.hpp"
#include "model/rope_config.hpp"
#include "model/rope_gguf.hpp"

namespace llmq {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr std::uint64_t kMaxConfigBytes = 16 << 20;
constexpr std::uint64_t kMaxLayers = 4096, kMaxExperts = 65536;

std::string known_classes() {
  std::string list;
  for (const Architecture& row : architectures()) {
    for (const std::string_view name : row.class_names)
      list += (list.empty() ? "" : ", ") + std::string(name);
  }
  return list;
}

/// What config.json says of itself, else what the directory is called.
std::string name_of(const ConfigReader& config, const std::string& otherwise) {
  const std::string stated = config.text_or("_name_or_path", "");
  if (stated.empty()) return otherwise;
  fs::path plain = fs::absolute(stated).lexically_normal();
  if (!plain.has_filename()) plain = plain.parent_path();
  return plain.filename().string();
}

void read_activation(const ConfigReader& config, ModelSpec& spec) {
  const std::string name = config.text_or("hidden_activation", config.text_or("hidden_act", "silu"));
  if (name == "gelu_pytorch_tanh") {
    spec.activation = Activation::gelu_tanh;
  } else if (name != "silu") {
    throw Error(ExitCode::unsupported_conversion,
                fmt::format("{}: hidden_act \"{}\" is not supported", config.path(), name),
                "Supported: silu, gelu_pytorch_tanh");
  }
}

void read_shapes(const ConfigReader& config, ModelSpec& spec) {
  spec.hidden_size = config.count("hidden_size");
  spec.intermediate_size = config.count("intermediate_size");
  spec.n_layers = config.count("num_hidden_layers", kMaxLayers);
  spec.n_heads = config.count("num_attention_heads");
  spec.n_kv_heads = config.count_or("num_key_value_heads", spec.n_heads);
  spec.explicit_head_dim = config.has("head_dim");
  spec.head_dim = config.count_or("head_dim", spec.hidden_size / spec.n_heads);
  spec.vocab_size = config.count("vocab_size");
  spec.context_length = config.count_or("max_position_embeddings", 2048);
}

/// What is wrong with the numbers of experts; empty: nothing.
std::string expert_problem(const ModelSpec& spec) {
  if (spec.n_experts == 0) return {};
  if (spec.n_experts > kMaxExperts) return fmt::format("{} experts are too many", spec.n_experts);
  if (spec.n_experts_used == 0 || spec.n_experts_used > spec.n_experts)
    return fmt::format("{} of {} experts cannot be used by a token", spec.n_experts_used, spec.n_experts);
  if (spec.expert_ffn == 0) return "the intermediate size of experts is missing";
  return {};
}

void check_heads(const ConfigReader& config, const ModelSpec& spec) {
  if (!spec.explicit_head_dim && spec.hidden_size % spec.n_heads != 0) {
    config.fail("hidden_size is not a multiple of num_attention_heads and head_dim is not given");
  }
  if (spec.n_heads % spec.n_kv_heads != 0) {
    config.fail("num_attention_heads is not a multiple of num_key_value_heads");
  }
  if (spec.head_dim % 2 != 0) config.fail("head_dim must be even");
  if (spec.rotated_dims() % 2 != 0 || spec.rotated_dims() > spec.head_dim)
    config.fail("partial_rotary_factor does not give an even part of a head");
  const std::size_t half = spec.rotated_dims() / 2;
  if (spec.rope_scaling == RopeScaling::longrope &&
      (spec.rope_short_factors.size() != half || spec.rope_long_factors.size() != half))
    config.fail(fmt::format("rope_scaling: short_factor and long_factor must hold {} numbers", half));
}

}  // namespace

ModelSpec read_model_spec(const fs::path& model_directory) {
  const fs::path path = model_directory / "config.json";
  if (!fs::exists(path)) {
    throw Error(ExitCode::model_not_found, fmt::format("{}: no such file", path.string()),
                "MODEL must be a Hugging Face directory with config.json and *.safetensors, or a GGUF file");
  }
  const json document =
      parse_json_strict(read_file(path, kMaxConfigBytes, 3), path.string(), ExitCode::validation);
  return model_spec_from_config(document, path.string(), hub::last_part(model_directory));
}

ModelSpec model_spec_from_config(const json& given, const std::string& path, const std::string& name) {
  if (!given.is_object())
    throw FormatError(ExitCode::validation, path, FormatError::kNoOffset, "must be a JSON object");
  const json document = with_rope_keys(given, path);
  const ConfigReader config(document, path);
  ModelSpec spec;
  if (config.has("architectures")) {
    const json& names = config.at("architectures");
    if (!names.is_array() || names.empty() || !names[0].is_string()) {
      config.fail("\"architectures\" must be an array of class names");
    }
    spec.class_name = names[0].get<std::string>();
  }
  const Architecture* architecture = find_architecture_of_class(spec.class_name);
  if (architecture == nullptr) {
    throw Error(ExitCode::unsupported_conversion,
                fmt::format("{}: architecture \"{}\" is not supported", path, spec.class_name),
                "Supported architectures: " + known_classes());
  }
  spec.architecture = architecture->name;
  spec.name = name_of(config, name);
  spec.torch_dtype = config.text_or("torch_dtype", config.text_or("dtype", ""));
  read_activation(config, spec);
  read_shapes(config, spec);
  spec.rms_norm_eps = static_cast<float>(config.real_or("rms_norm_eps", 1e-6));
  read_rope(config, spec);
  spec.tied_embeddings = config.flag_or("tie_word_embeddings", false);
  spec.attention_bias = config.flag_or("attention_bias", false);
  spec.mlp_bias = config.flag_or("mlp_bias", false);
  architecture->read_config(config, spec);
  check_rope(config, spec);
  check_heads(config, spec);
  if (const std::string problem = expert_problem(spec); !problem.empty()) config.fail(problem);
  return spec;
}

ModelSpec model_spec_from_gguf(const GgufHeader& header) {
  const GgufMetadata& metadata = header.metadata;
  ModelSpec spec;
  spec.architecture = metadata.string("general.architecture").value_or("");
  const Architecture* architecture = find_architecture(spec.architecture);
  if (architecture == nullptr) {
    throw Error(ExitCode::unsupported_conversion,
                fmt::format("GGUF architecture \"{}\" is not supported", spec.architecture),
                "Supported architectures: " + known_classes());
  }
  spec.class_name = architecture->class_names.front();
  spec.name = metadata.string("general.name").value_or("");
  const auto count = [&](const std::string& key, std::optional<std::int64_t> fallback, std::uint64_t limit) {
    const auto value = metadata.integer(spec.architecture + "." + key);
    const std::int64_t number = value.value_or(fallback.value_or(0));
    if (number <= 0 || static_cast<std::uint64_t>(number) > limit) {
      throw Error(ExitCode::validation,
                  fmt::format("GGUF key {}.{} is missing or out of range", spec.architecture, key));
    }
    return static_cast<std::uint32_t>(number);
  };
  const auto optional_count = [&](const std::string& key) {
    return metadata.contains(spec.architecture + "." + key) ? count(key, std::nullopt, kMaxExperts) : 0U;
  };
  spec.n_layers = count("block_count", std::nullopt, kMaxLayers);
  spec.hidden_size = count("embedding_length", std::nullopt, kMaxDimension);
  spec.intermediate_size = count("feed_forward_length", std::nullopt, kMaxDimension);
  spec.n_heads = count("attention.head_count", std::nullopt, kMaxDimension);
  spec.n_kv_heads = count("attention.head_count_kv", spec.n_heads, kMaxDimension);
  spec.context_length = count("context_length", 2048, kMaxDimension);
  spec.head_dim = count("attention.key_length", std::max<std::int64_t>(1, spec.hidden_size / spec.n_heads),
                        kMaxDimension);
  spec.explicit_head_dim = metadata.contains(spec.architecture + ".attention.key_length");
  const GgufTensorInfo* embedding = header.find("token_embd.weight");
  if (embedding == nullptr) throw Error(ExitCode::validation, "GGUF file has no token_embd.weight");
  spec.vocab_size = checked_cast<std::uint32_t>(embedding->ne[1], "vocabulary size");
  if (spec.n_heads % spec.n_kv_heads != 0 || spec.head_dim % 2 != 0) {
    throw Error(ExitCode::validation, "GGUF head counts do not fit together");
  }
  spec.rms_norm_eps = static_cast<float>(
      metadata.real(spec.architecture + ".attention.layer_norm_rms_epsilon").value_or(1e-5));
  read_rope(metadata, spec);
  spec.tied_embeddings = header.find("output.weight") == nullptr;
  spec.attention_bias = header.find("blk.0.attn_q.bias") != nullptr;
  spec.mlp_bias = header.find("blk.0.ffn_up.bias") != nullptr;
  spec.n_experts = optional_count("expert_count");
  spec.n_experts_used = optional_count("expert_used_count");
  architecture->read_gguf(metadata, spec);
  if (const std::string problem = expert_problem(spec); !problem.empty())
    throw Error(ExitCode::validation, "GGUF metadata: " + problem);
  return spec;
}

}  // namespace llmq
