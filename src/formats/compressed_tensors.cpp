#include "llmq/formats/compressed_tensors.hpp"

#include <algorithm>
#include <regex>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/core/json.hpp"
#include "llmq/core/json_schema.hpp"
#include "llmq/embedded/schemas.hpp"
#include "llmq/formats/safetensors.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using nlohmann::json;

constexpr std::uint64_t kMaxConfigBytes = std::uint64_t{16} << 20;
constexpr std::size_t kLongestModule = 512;
constexpr std::string_view kWeight = ".weight", kScale = ".weight_scale", kInput = ".input_scale";

bool ends_with(const std::string& name, std::string_view end) { return name.ends_with(end); }

/// Modules the configuration leaves as they were: by name, or "re:" and an expression for whole names.
class Ignored {
 public:
  explicit Ignored(const json& list) {
    for (const json& one : list) {
      const auto text = one.get<std::string>();
      if (text.starts_with("re:"))
        patterns_.emplace_back(text.substr(3));
      else
        names_.insert(text);
    }
  }
  bool contains(const std::string& module) const {
    if (module.size() > kLongestModule)
      return false;  // expressions take stack by the length of what they match
    return names_.contains(module) ||
           std::any_of(patterns_.begin(), patterns_.end(),
                       [&](const std::regex& pattern) { return std::regex_match(module, pattern); });
  }

 private:
  std::set<std::string> names_;
  std::vector<std::regex> patterns_;
};

/// One directory while its problems are gathered.
class Inspection {
 public:
  Inspection(const SafetensorsCheckpoint& checkpoint, const json& config)
      : checkpoint_(checkpoint),
        ignored_(config["quantization_config"]["ignore"]),
        fixed_(!config["quantization_config"]["config_groups"]["group_0"]["input_activations"]["dynamic"]
                    .get<bool>()) {}

  std::vector<std::string> run(bool tied) {
    for (const SafetensorsTensor& tensor : checkpoint_.tensors()) check(tensor);
    if (modules_ == 0) problems_.push_back("no module is quantized");
    if (tied && checkpoint_.find("lm_head.weight") != nullptr)
      problems_.push_back("lm_head.weight is stored although it is tied to the embedding");
    if (!tied && checkpoint_.find("lm_head.weight") == nullptr)
      problems_.push_back("lm_head.weight is missing");
    return problems_;
  }

 private:
  void check(const SafetensorsTensor& tensor) {
    if (ends_with(tensor.name, kScale)) return check_owner(tensor, kScale);
    if (ends_with(tensor.name, kInput)) return check_owner(tensor, kInput);
    if (!ends_with(tensor.name, kWeight)) return check_plain(tensor);
    const std::string module = tensor.name.substr(0, tensor.name.size() - kWeight.size());
    const bool linear = tensor.shape.size() == 2 && !module.ends_with("embed_tokens");
    if (!linear || ignored_.contains(module)) return check_plain(tensor);
    check_module(module, tensor);
  }

  /// A scale belongs to an I8 weight.
  void check_owner(const SafetensorsTensor& tensor, std::string_view end) {
    const std::string module = tensor.name.substr(0, tensor.name.size() - end.size());
    const SafetensorsTensor* weight = checkpoint_.find(module + std::string(kWeight));
    if (weight == nullptr || weight->dtype != DType::I8) problem("{} scales no I8 weight", tensor.name);
    if (end == kInput && !fixed_) problem("{} is stored although scales are dynamic", tensor.name);
  }

  void check_plain(const SafetensorsTensor& tensor) {
    if (!is_weight_dtype(tensor.dtype)) problem("{} is {}", tensor.name, dtype_name(tensor.dtype));
  }

  void check_module(const std::string& module, const SafetensorsTensor& weight) {
    ++modules_;
    if (weight.dtype != DType::I8) return problem("{} is {}, not I8", weight.name, dtype_name(weight.dtype));
    expect(module + std::string(kScale), {weight.shape[0], 1});
    if (fixed_) expect(module + std::string(kInput), {1});
  }

  void expect(const std::string& name, const std::vector<std::uint64_t>& shape) {
    const SafetensorsTensor* tensor = checkpoint_.find(name);
    if (tensor == nullptr) return problem("{} is missing", name);
    if (tensor->dtype != DType::F32 && tensor->dtype != DType::BF16)
      problem("{} is {}, not F32 or BF16", name, dtype_name(tensor->dtype));
    if (tensor->shape != shape)
      problem("{} has the shape [{}], not [{}]", name, fmt::join(tensor->shape, ", "),
              fmt::join(shape, ", "));
  }

  template <class... Parts>
  void problem(fmt::format_string<Parts...> format, Parts&&... parts) {
    problems_.push_back(fmt::format(format, std::forward<Parts>(parts)...));
  }

  const SafetensorsCheckpoint& checkpoint_;
  Ignored ignored_;
  bool fixed_;
  std::size_t modules_ = 0;
  std::vector<std::string> problems_;
};

std::string config_problem(const json& config) {
  static const JsonSchema schema(embedded_w8a8_schema());
  if (!config.contains("quantization_config")) return "config.json has no quantization_config";
  const auto failure = schema.check(config["quantization_config"]);
  if (!failure) return {};
  if (failure->kind == SchemaFailure::Kind::missing_member)
    return fmt::format("config.json: /quantization_config{}: \"{}\" is missing", failure->pointer(),
                       failure->name);
  return fmt::format("config.json: /quantization_config{}: expected {}, found {}", failure->pointer(),
                     schema.described(failure->path), failure->shown);
}

}  // namespace

Json w8a8_config(ActivationScales activations, const std::vector<std::string>& ignore) {
  const bool dynamic = activations == ActivationScales::dynamic;
  const Json weights = {{"num_bits", 8},
                        {"type", "int"},
                        {"symmetric", true},
                        {"strategy", "channel"},
                        {"dynamic", false},
                        {"observer", "minmax"},
                        {"group_size", nullptr},
                        {"actorder", nullptr},
                        {"block_structure", nullptr},
                        {"observer_kwargs", Json::object()}};
  const Json inputs = {{"num_bits", 8},
                       {"type", "int"},
                       {"symmetric", true},
                       {"strategy", dynamic ? "token" : "tensor"},
                       {"dynamic", dynamic},
                       {"observer", dynamic ? Json(nullptr) : Json("minmax")},
                       {"group_size", nullptr},
                       {"actorder", nullptr},
                       {"block_structure", nullptr},
                       {"observer_kwargs", Json::object()}};
  return {{"quant_method", "compressed-tensors"},
          {"format", "int-quantized"},
          {"quantization_status", "compressed"},
          {"global_compression_ratio", nullptr},
          {"kv_cache_scheme", nullptr},
          {"ignore", ignore},
          {"config_groups",
           {{"group_0",
             {{"targets", {"Linear"}},
              {"weights", weights},
              {"input_activations", inputs},
              {"output_activations", nullptr}}}}}};
}

bool is_compressed_tensors(std::string_view config_text) {
  const json config = json::parse(config_text, nullptr, false);
  if (!config.is_object()) return false;
  const auto found = config.find("quantization_config");
  return found != config.end() && string_member(*found, "quant_method", "") == "compressed-tensors";
}

std::vector<std::string> check_w8a8_directory(const fs::path& directory) {
  const fs::path path = directory / "config.json";
  const json config =
      parse_json_strict(read_file(path, kMaxConfigBytes, static_cast<int>(ExitCode::model_not_found)),
                        path.string(), ExitCode::validation);
  if (std::string problem = config_problem(config); !problem.empty()) return {std::move(problem)};
  const SafetensorsCheckpoint checkpoint(directory);
  const bool tied = config.value("tie_word_embeddings", false);
  try {
    return Inspection(checkpoint, config).run(tied);
  } catch (const std::regex_error& error) {
    return {fmt::format("config.json: a pattern of ignore is no regular expression: {}", error.what())};
  }
}

}  // namespace llmq
