#include "pipeline/w8a8_directory.hpp"

#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/core/text.hpp"
#include "llmq/pipeline/output_place.hpp"
#include "llmq/pipeline/quantize.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::uint64_t kMaxSmallFile = std::uint64_t{256} << 20;
constexpr const char* kConfig = "config.json";
constexpr const char* kCompanions[] = {"generation_config.json",
                                       "tokenizer.json",
                                       "tokenizer.model",
                                       "tokenizer_config.json",
                                       "special_tokens_map.json",
                                       "added_tokens.json",
                                       "vocab.json",
                                       "merges.txt",
                                       "chat_template.jinja",
                                       "chat_template.json",
                                       "LICENSE",
                                       "LICENSE.txt",
                                       "LICENSE.md",
                                       "NOTICE",
                                       "NOTICE.txt",
                                       "USE_POLICY.md"};

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

/// A directory that a run like this one has made, or an empty one.
bool is_replaceable(const fs::path& directory) {
  if (!fs::is_directory(directory)) return false;
  if (fs::is_empty(directory)) return true;
  return fs::is_regular_file(directory / kConfig) &&
         is_compressed_tensors(read_file(directory / kConfig, kMaxSmallFile));
}

}  // namespace

std::vector<SmallFile> companion_files(const fs::path& model, const W8a8Plan& plan,
                                       ActivationScales activations) {
  const std::string text =
      read_file(model / kConfig, kMaxSmallFile, static_cast<int>(ExitCode::model_not_found));
  Json config = Json::parse(text, nullptr, false);
  if (!config.is_object())
    throw Error(ExitCode::validation, fmt::format("{}: is no JSON object", (model / kConfig).string()));
  config["quantization_config"] = w8a8_config(activations, ignored_modules(plan));
  std::vector<SmallFile> files = {{kConfig, config.dump(2) + "\n"}};
  if (!plan.layout.index.empty()) files.push_back({"model.safetensors.index.json", plan.layout.index});
  for (const char* name : kCompanions) {
    if (fs::is_regular_file(model / name)) files.push_back({name, read_file(model / name, kMaxSmallFile)});
  }
  return files;
}

fs::path w8a8_path(const fs::path& model, const fs::path& output_dir, const std::string& name) {
  if (name.find('/') != std::string::npos || name == "." || name == "..") {
    throw Error(ExitCode::invalid_arguments, fmt::format("output name \"{}\" must be a plain name", name),
                "Put the directory above it into --output-dir");
  }
  return output_dir / (name.empty() ? model_base_name(model) + "-smoothquant-w8a8" : name);
}

void require_w8a8_place(const fs::path& output, const std::vector<fs::path>& inputs, bool force) {
  require_output_directory(output, inputs, force, is_replaceable, "a W8A8 directory");
}

void publish_w8a8(const fs::path& partial, const W8a8Plan& plan, const std::vector<SmallFile>& files,
                  const fs::path& output) {
  std::set<std::string> ours;
  for (const SafetensorsShard& shard : plan.layout.shards) ours.insert(shard.file_name);
  for (const auto& entry : fs::directory_iterator(partial)) {
    if (!ours.contains(entry.path().filename().string())) fs::remove_all(entry.path());
  }
  for (const SmallFile& file : files) write_file_atomically(partial / file.name, file.bytes);
  const std::vector<std::string> problems = check_w8a8_directory(partial);
  if (!problems.empty())
    throw InternalError(fmt::format("the written directory is not sound: {}", join_some(problems)));
  publish_directory(partial, output);
}

}  // namespace llmq
