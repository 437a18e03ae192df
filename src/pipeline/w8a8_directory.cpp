#include "pipeline/w8a8_directory.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/core/model_files.hpp"
#include "llmq/core/text.hpp"
#include "llmq/pipeline/output_place.hpp"
#include "llmq/pipeline/quantize.hpp"

#include "pipeline/safetensors_directory.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::uint64_t kMaxSmallFile = std::uint64_t{256} << 20;
constexpr const char* kConfig = "config.json";

/// Of experts an expression for all of them: "re:model\\.layers\\.0\\.mlp\\.experts\\.\\d+\\.up_proj".
std::string pattern_of(const std::string& module) {
  if (module.find("{}") == std::string::npos) return module;
  std::string pattern = "re:";
  for (std::size_t i = 0; i < module.size(); ++i) {
    if (module[i] == '{')
      pattern += "\\d+", ++i;
    else
      pattern += module[i] == '.' ? "\\." : std::string(1, module[i]);
  }
  return pattern;
}

/// Modules that keep their weights: the output matrix, and what the plan left as it was.
std::vector<std::string> ignored_modules(const W8a8Plan& plan) {
  std::vector<std::string> modules = {"lm_head"};
  for (const W8a8Tensor& tensor : plan.tensors) {
    const std::string& name = tensor.source->source_name;
    if (!tensor.coded() && tensor.source->layer >= 0 && tensor.source->n_dims >= 2)
      modules.push_back(pattern_of(name.substr(0, name.rfind('.'))));
  }
  return modules;
}

}  // namespace

NamedTexts companion_files(const fs::path& model, const W8a8Plan& plan, ActivationScales activations) {
  const std::string text =
      read_file(model / kConfig, kMaxSmallFile, static_cast<int>(ExitCode::model_not_found));
  Json config = Json::parse(text, nullptr, false);
  if (!config.is_object())
    throw Error(ExitCode::validation, fmt::format("{}: is no JSON object", (model / kConfig).string()));
  config["quantization_config"] = w8a8_config(activations, ignored_modules(plan));
  NamedTexts files = {{kConfig, config.dump(2) + "\n"}};
  if (!plan.layout.index.empty()) files.push_back({"model.safetensors.index.json", plan.layout.index});
  for (const std::string_view name : kModelCompanions) {
    if (fs::is_regular_file(model / name))
      files.push_back({std::string(name), read_file(model / name, kMaxSmallFile)});
  }
  return files;
}

fs::path w8a8_path(const fs::path& model, const fs::path& output_dir, const std::string& name) {
  return directory_path(output_dir, name, model_base_name(model) + "-smoothquant-w8a8");
}

void require_w8a8_place(const fs::path& output, const std::vector<fs::path>& inputs, bool force) {
  require_output_directory(output, inputs, force, is_compressed_tensors, "a W8A8 directory");
}

void publish_w8a8(const fs::path& partial, const W8a8Plan& plan, const NamedTexts& files,
                  const fs::path& output) {
  complete_directory(partial, plan.layout, files);
  const std::vector<std::string> problems = check_w8a8_directory(partial);
  if (!problems.empty())
    throw InternalError(fmt::format("the written directory is not sound: {}", join_some(problems)));
  publish_directory(partial, output);
}

}  // namespace llmq
