#include "pipeline/job/job_steps.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "llmq/core/text.hpp"
#include "llmq/formats/gguf_split.hpp"
#include "llmq/pipeline/analyze.hpp"
#include "llmq/pipeline/profile.hpp"
#include "llmq/pipeline/quantize.hpp"
#include "llmq/quant/type_policy.hpp"

#include "pipeline/w8a8_directory.hpp"

namespace llmq::job {
namespace {

using enum OptionRole;

constexpr OptionRule kAnalyze[] = {
    {"model", model, true},
    {"output", place},
    {"calibration-data", text},
    {"calibration-samples"},
    {"ctx"},
    {"imatrix-format"},
    {"layer-groups", place},
    {"merge", imatrix},
    {"method"},
    {"identify-super-weights"},
    {"moe-all-experts"},
    {"coverage"},
};
constexpr OptionRule kProfile[] = {
    {"imatrix", imatrix, true}, {"name", plain, true}, {"model", model},
    {"output", place},          {"target-bpw"},        {"target-size"},
};
constexpr OptionRule kQuantize[] = {
    {"model", model, true},
    {"quant-level", plain, true},
    {"format"},
    {"output-dir", place},
    {"output-name", place},
    {"imatrix", imatrix},
    {"protect-super-weights"},
    {"protection-coverage"},
    {"super-weight-lora", place},
    {"alpha"},
    {"activation-scales"},
    {"calibration-data", text},
    {"calibration-samples"},
    {"profile", profile},
    {"target-bpw"},
    {"target-size"},
    {"atlas-rows"},
    {"tensor-type"},
    {"layer-bits", rules},
    {"pure"},
    {"leave-output-tensor"},
    {"output-tensor-type"},
    {"token-embedding-type"},
    {"override-kv"},
    {"split-max-size"},
    {"allow-requantize"},
    {"force", place},
};
constexpr OptionRule kQuality[] = {
    {"original", model, true},
    {"candidates", model, true},
    {"calibration-data", text},
    {"text", text},
    {"calibration-samples"},
    {"chunks"},
    {"ctx"},
    {"include-layers"},
    {"coherence"},
    {"metrics"},
    {"base", place},
    {"output", place},
};
constexpr StepType kTypes[] = {
    {"analyze", kAnalyze},
    {"profile", kProfile},
    {"quantize", kQuantize},
    {"quality", kQuality},
};

/// The level as files are named by it.
std::string level_name(const JobStep& step, std::string_view file) {
  const std::string typed = step.value("quant-level");
  if (equals_ignore_case(typed, "dynamic")) return "dynamic";
  if (const FileLevel* level = find_file_level(typed); level != nullptr) return std::string(level->name);
  std::vector<std::string> known = {"dynamic"};
  for (const FileLevel& level : file_levels()) known.emplace_back(level.name);
  std::string list;
  for (const std::string& name : known) list += (list.empty() ? "" : " ") + name;
  throw JobError(file, step.find("quant-level")->pointer,
                 fmt::format("unknown quantization level \"{}\"", typed), "Levels: " + list);
}

}  // namespace

std::span<const StepType> step_types() noexcept { return kTypes; }

const StepType& step_type(std::string_view name) {
  for (const StepType& type : kTypes) {
    if (type.name == name) return type;
  }
  throw InternalError(fmt::format("step type {} has no row", name));
}

OptionRole role_of(const JobStep& step, std::string_view option) {
  for (const OptionRule& rule : step_type(step.type).options) {
    if (rule.name == option) return rule.role;
  }
  throw InternalError(fmt::format("option {} of {} has no row", option, step.type));
}

bool writes_directory(const JobStep& step) {
  return step.type == "quantize" && equals_ignore_case(step.value("format"), "smoothquant");
}

std::filesystem::path output_of(const JobStep& step, std::string_view file) {
  const std::filesystem::path output = step.value("output");
  if (step.type == "analyze") return output.empty() ? default_imatrix_path(step.value("model")) : output;
  if (step.type == "profile") return output.empty() ? default_profile_path(step.value("name")) : output;
  if (step.type == "quality") return output;
  if (writes_directory(step)) {
    return w8a8_path(step.value("model"), step.value("output-dir", "."), step.value("output-name"));
  }
  return quantized_path(step.value("model"), level_name(step, file), step.value("output-dir", "."),
                        step.value("output-name"));
}

std::filesystem::path written_output(const JobStep& step) {
  if (step.type != "quantize" || step.find("split-max-size") == nullptr) return step.output;
  for (const std::filesystem::path& file : gguf_files_of_stem(gguf_stem(step.output))) {
    const auto shard = parse_gguf_shard_name(file);
    if (!shard || shard->index == 0) return file;
  }
  return step.output;
}

}  // namespace llmq::job

namespace llmq {

std::string unsupported_part(const JobStep& step) {
  if (step.type != "quantize" || job::writes_directory(step)) return {};
  const std::string level = step.value("quant-level");
  if (equals_ignore_case(level, "dynamic")) return {};
  const FileLevel* row = find_file_level(level);
  return row != nullptr && row->available ? std::string()
                                          : fmt::format("level {} is not supported yet", level);
}

}  // namespace llmq
