#include "model/rope_gguf.hpp"

#include <cmath>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "llmq/core/error.hpp"

#include "model/config_reader.hpp"

namespace llmq {
namespace {

constexpr const char* kSupported =
    "Supported: none, linear, yarn, longrope of Phi-3, and Llama 3's as rope_freqs.weight";

class RopeKeys {
 public:
  RopeKeys(const GgufMetadata& metadata, const ModelSpec& spec)
      : metadata_(metadata), prefix_(spec.architecture + ".rope.") {}

  std::string text_or(const char* key, std::string otherwise) const {
    return metadata_.string(prefix_ + key).value_or(std::move(otherwise));
  }
  double real_or(const char* key, double otherwise) const {
    return metadata_.real(prefix_ + key).value_or(otherwise);
  }
  double positive_or(const char* key, double otherwise) const {
    const double value = real_or(key, otherwise);
    if (!(value > 0) || !std::isfinite(value))
      throw Error(ExitCode::validation, fmt::format("GGUF key {}{} must be a positive number", prefix_, key));
    return value;
  }
  std::int64_t count_or(const char* key, std::int64_t otherwise) const {
    const std::int64_t value = metadata_.integer(prefix_ + key).value_or(otherwise);
    if (value < 1 || static_cast<std::uint64_t>(value) > kMaxDimension)
      throw Error(ExitCode::validation, fmt::format("GGUF key {}{} is out of range", prefix_, key));
    return value;
  }
  [[noreturn]] void refuse(const char* key) const {
    throw Error(ExitCode::unsupported_conversion,
                fmt::format("GGUF key {}{}: this value is not supported", prefix_, key),
                "Runtimes of the model read past it; they look for attention factors in scaling.attn_factor");
  }

 private:
  const GgufMetadata& metadata_;
  std::string prefix_;
};

void read_yarn(const RopeKeys& keys, ModelSpec& spec) {
  spec.rope_scaling = RopeScaling::yarn;
  spec.rope_factor = keys.positive_or("scaling.factor", 1);
  spec.rope_original_context =
      static_cast<double>(keys.count_or("scaling.original_context_length", spec.context_length));
  spec.rope_attention_factor = static_cast<float>(keys.positive_or("scaling.attn_factor", 1));
  for (const auto& [key, only] :
       {std::pair{"scaling.yarn_beta_fast", 32.0}, std::pair{"scaling.yarn_beta_slow", 1.0},
        std::pair{"scaling.yarn_ext_factor", 1.0}, std::pair{"scaling.yarn_log_multiplier", 0.0}}) {
    if (keys.real_or(key, only) != only) keys.refuse(key);
  }
  // Converters write config.json's attention_factor there, and runtimes read past it.
  const double stated = keys.real_or("scaling.yarn_attn_factor", 1);
  if (stated != 1 && std::fabs(stated - spec.yarn_attention()) > 1e-6)
    keys.refuse("scaling.yarn_attn_factor");
}

void write_yarn(const ModelSpec& spec, const std::string& prefix, GgufMetadata& metadata) {
  metadata.set(prefix + "factor", static_cast<float>(spec.rope_factor));
  metadata.set(prefix + "original_context_length", static_cast<std::uint32_t>(spec.rope_original_context));
  if (spec.rope_attention_factor != 1) metadata.set(prefix + "attn_factor", spec.rope_attention_factor);
}

}  // namespace

void read_rope(const GgufMetadata& metadata, ModelSpec& spec) {
  const RopeKeys keys(metadata, spec);
  spec.rope_theta = keys.real_or("freq_base", 10000.0);
  const std::string scaling = keys.text_or("scaling.type", "none");
  if (scaling == "linear") {
    spec.rope_scaling = RopeScaling::linear;
    spec.rope_factor = keys.positive_or("scaling.factor", 1.0);
  } else if (scaling == "yarn") {
    read_yarn(keys, spec);
  } else if (scaling != "none" && scaling != "longrope") {
    throw Error(ExitCode::unsupported_conversion,
                fmt::format("GGUF rope scaling \"{}\" is not supported", scaling), kSupported);
  }
}

std::uint32_t read_rotated_dims(const GgufMetadata& metadata, const ModelSpec& spec) {
  const std::string key = spec.architecture + ".rope.dimension_count";
  const auto dims = static_cast<std::uint32_t>(metadata.integer(key).value_or(0));
  if (dims > spec.head_dim || dims % 2 != 0)
    throw Error(ExitCode::validation, fmt::format("GGUF key {} is out of range", key));
  return dims;
}

void write_rope(const ModelSpec& spec, GgufMetadata& metadata) {
  const std::string prefix = spec.architecture + ".rope.";
  metadata.set(prefix + "freq_base", static_cast<float>(spec.rope_theta));
  if (spec.rope_scaling == RopeScaling::linear) {
    metadata.set(prefix + "scaling.type", std::string("linear"));
    metadata.set(prefix + "scaling.factor", static_cast<float>(spec.rope_factor));
  } else if (spec.rope_scaling == RopeScaling::yarn) {
    metadata.set(prefix + "scaling.type", std::string("yarn"));
    write_yarn(spec, prefix + "scaling.", metadata);
  }
}

void refuse_yarn(const ModelSpec& spec) {
  if (spec.rope_scaling != RopeScaling::yarn) return;
  throw Error(ExitCode::unsupported_conversion,
              fmt::format("rope scaling \"yarn\" is not supported for {}", spec.class_name),
              "Runtimes of this architecture do not scale so");
}

}  // namespace llmq
