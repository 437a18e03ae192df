#include "model/rope_config.hpp"

#include <cmath>
#include <vector>

#include <fmt/format.h>

namespace llmq {
namespace {

using nlohmann::json;

constexpr const char* kParameters = "rope_parameters";
constexpr const char* kFull = "full_attention";
constexpr const char* kSliding = "sliding_attention";
constexpr double kMostYarnFactor = 1e6;

bool by_layer_type(const json& parameters) {
  return parameters.contains(kFull) || parameters.contains(kSliding);
}

std::string type_of(const ConfigReader& scaling) {
  return scaling.text_or("rope_type", scaling.text_or("type", "default"));
}

/// Sets one member, which may already be there with the same value.
void place(const std::string& path, const char* key, const json& value, json& document) {
  const ConfigReader config(document, path);
  if (config.has(key) && config.at(key) != value)
    config.fail(
        fmt::format("\"{}\" is {} and in \"{}\" {}", key, config.at(key).dump(), kParameters, value.dump()));
  document[key] = value;
}

/// What remains of `parameters` is rope_scaling; members that only one of them has are taken from there.
void place_scaling(const std::string& path, json parameters, json& document) {
  parameters.erase("rope_theta");
  parameters.erase("partial_rotary_factor");
  const std::string type = type_of(ConfigReader(parameters, path));
  const ConfigReader config(document, path);
  if (!config.has("rope_scaling")) {
    if (type != "default") document["rope_scaling"] = std::move(parameters);
    return;
  }
  json& older = document["rope_scaling"];
  if (!older.is_object()) return;  // its reader says so
  if (const std::string other = type_of(ConfigReader(older, path)); other != type)
    config.fail(fmt::format("\"rope_scaling\" is \"{}\" and in \"{}\" \"{}\"", other, kParameters, type));
  for (const auto& [key, value] : parameters.items()) {
    if (key != "type" && key != "rope_type") place(path, key.c_str(), value, older);
  }
}

void place_all(const std::string& path, const json& parameters, json& document) {
  for (const char* key : {"rope_theta", "partial_rotary_factor"}) {
    if (parameters.contains(key) && !parameters[key].is_null()) place(path, key, parameters[key], document);
  }
  place_scaling(path, parameters, document);
}

/// Parameters of one layer type.
const json& section(const ConfigReader& config, const json& parameters, const char* type) {
  const auto found = parameters.find(type);
  if (found == parameters.end() || !found->is_object())
    config.fail(fmt::format("\"{}\": \"{}\" must be an object", kParameters, type));
  return *found;
}

std::vector<float> read_factors(const ConfigReader& scaling, const char* key) {
  const json& list = scaling.has(key) ? scaling.at(key) : json();
  std::vector<float> factors;
  if (!list.is_array() || list.empty() || list.size() > kMaxDimension)
    scaling.fail(fmt::format("rope_scaling: \"{}\" must be an array of numbers", key));
  for (const json& one : list) {
    if (!one.is_number() || !(one.get<double>() > 0) || !std::isfinite(one.get<float>()))
      scaling.fail(fmt::format("rope_scaling: \"{}\" must hold positive numbers", key));
    factors.push_back(one.get<float>());
  }
  return factors;
}

/// Tokens of a context before scaling: of the scaling, else of the model.
double original_context(const ConfigReader& config, const ConfigReader& scaling, double otherwise) {
  return scaling.real_or("original_max_position_embeddings",
                         config.real_or("original_max_position_embeddings", otherwise));
}

void read_llama3(const ConfigReader& config, const ConfigReader& scaling, ModelSpec& spec) {
  spec.rope_scaling = RopeScaling::llama3;
  spec.rope_factor = scaling.real_or("factor", 8.0);
  spec.rope_low_freq_factor = scaling.real_or("low_freq_factor", 1.0);
  spec.rope_high_freq_factor = scaling.real_or("high_freq_factor", 4.0);
  spec.rope_original_context = original_context(config, scaling, 8192);
  if (spec.rope_low_freq_factor == spec.rope_high_freq_factor)
    config.fail("rope_scaling: low_freq_factor and high_freq_factor must differ");
}

void read_longrope(const ConfigReader& config, const ConfigReader& scaling, ModelSpec& spec) {
  spec.rope_scaling = RopeScaling::longrope;
  spec.rope_short_factors = read_factors(scaling, "short_factor");
  spec.rope_long_factors = read_factors(scaling, "long_factor");
  spec.rope_original_context = original_context(config, scaling, 4096);
}

/// Tokens before scaling stand in the scaling, in older configurations beside it, or are all.
void read_yarn(const ConfigReader& config, const ConfigReader& scaling, ModelSpec& spec) {
  // Some tools know these; the reference reads past them or makes the attention factor of them.
  for (const char* key : {"mscale", "mscale_all_dim", "attn_factor", "extrapolation_factor"}) {
    if (scaling.has(key))
      config.refuse(fmt::format("rope scaling \"yarn\" with \"{}\" is not supported", key),
                    "Say by attention_factor what rotated values are multiplied by");
  }
  if (!scaling.flag_or("truncate", true))
    config.refuse("rope scaling \"yarn\" with \"truncate\" false is not supported",
                  "Runtimes round the ends of the ramp");
  if (scaling.real_or("beta_fast", 32) != 32 || scaling.real_or("beta_slow", 1) != 1)
    config.refuse("rope scaling \"yarn\" with other ends of the ramp is not supported",
                  "Runtimes take beta_fast 32 and beta_slow 1 for granted");
  spec.rope_scaling = RopeScaling::yarn;
  const std::uint32_t context =
      scaling.count_or("original_max_position_embeddings",
                       config.count_or("original_max_position_embeddings", spec.context_length));
  spec.rope_original_context = context;
  // In single precision, as GGUF keeps them: the same model from both.
  const auto number = [&](const char* key, double otherwise) {
    return static_cast<double>(static_cast<float>(scaling.real_or(key, otherwise)));
  };
  spec.rope_factor = number("factor", static_cast<double>(spec.context_length) / context);
  if (!(spec.rope_factor >= 1 && spec.rope_factor <= kMostYarnFactor))
    scaling.fail("rope_scaling: \"factor\" of yarn must be a number from 1 to 1000000");
  const double usual = spec.yarn_attention();
  spec.rope_attention_factor = static_cast<float>(scaling.real_or("attention_factor", usual) / usual);
}

}  // namespace

json with_rope_keys(json document, const std::string& path) {
  const ConfigReader config(document, path);
  if (!config.has(kParameters)) return document;
  const json parameters = config.at(kParameters);
  if (!parameters.is_object()) config.fail(fmt::format("\"{}\" must be an object or null", kParameters));
  if (!by_layer_type(parameters)) {
    place_all(path, parameters, document);
    return document;
  }
  place_all(path, section(config, parameters, kFull), document);
  const ConfigReader sliding(section(config, parameters, kSliding), path);
  if (type_of(sliding) != "default")
    config.refuse(fmt::format("{}: scaling in layers of {} is not supported", kParameters, kSliding),
                  "Supported there: default");
  if (sliding.has("rope_theta")) place(path, "rope_local_base_freq", sliding.at("rope_theta"), document);
  return document;
}

std::uint32_t read_rotated_dims(const ConfigReader& config, std::uint32_t head_dim, double otherwise) {
  const double part = config.real_or("partial_rotary_factor", otherwise);
  if (!(part > 0 && part <= 1)) config.fail("\"partial_rotary_factor\" must be above 0 and at most 1");
  return static_cast<std::uint32_t>(part * head_dim);
}

void read_rope(const ConfigReader& config, ModelSpec& spec) {
  spec.rope_theta = config.real_or("rope_theta", 10000.0);
  if (!config.has("rope_scaling")) return;
  const json& given = config.at("rope_scaling");
  if (!given.is_object()) config.fail("\"rope_scaling\" must be an object or null");
  const ConfigReader scaling(given, config.path());
  const std::string type = type_of(scaling);
  if (type == "default") return;
  if (type == "linear") {
    spec.rope_scaling = RopeScaling::linear;
    spec.rope_factor = scaling.real_or("factor", 1.0);
  } else if (type == "llama3") {
    read_llama3(config, scaling, spec);
  } else if (type == "longrope" || type == "su") {
    read_longrope(config, scaling, spec);
  } else if (type == "yarn") {
    read_yarn(config, scaling, spec);
  } else {
    config.refuse(fmt::format("rope scaling \"{}\" is not supported", type),
                  "Supported: default, linear, llama3, longrope, yarn");
  }
}

void check_rope(const ConfigReader& config, const ModelSpec& spec) {
  if (config.has(kParameters) && by_layer_type(config.at(kParameters)) && spec.rope_theta_local == 0)
    config.refuse(fmt::format("{} by layer type are not supported", kParameters),
                  "For this architecture one set for all layers is");
  if (spec.rope_dims == 0 && config.real_or("partial_rotary_factor", 1) != 1)
    config.refuse("this partial_rotary_factor is not supported",
                  "For this architecture whole heads are rotated: 1");
}

}  // namespace llmq
