// Order of a run: check, plan, reserve NAME.partial/, units, verify, small files, check, rename.
// SPDX-License-Identifier: Apache-2.0
#include "pipeline/convert_hf.hpp"

#include <chrono>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "llmq/core/error.hpp"
#include "llmq/core/hash.hpp"
#include "llmq/core/text.hpp"
#include "llmq/formats/gguf_split.hpp"
#include "llmq/pipeline/output_place.hpp"
#include "llmq/quant/type_policy.hpp"

#include "pipeline/content_hash.hpp"
#include "pipeline/hf_plan.hpp"
#include "pipeline/hf_run.hpp"
#include "pipeline/job_directory.hpp"
#include "pipeline/quantize_checks.hpp"
#include "pipeline/quantize_run.hpp"
#include "pipeline/run_figures.hpp"
#include "pipeline/safetensors_directory.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr const char* kConfig = "config.json";
constexpr const char* kMark = "llm_quantize_version";  ///< in config.json: this program made the directory

/// What is known before any weight is written.
struct Preparation {
  std::unique_ptr<ModelSource> source;
  std::string fingerprint, level;
  HfPlan plan;
  NamedTexts files;
  std::uint64_t memory_bytes = 0;
};

/// True if convert has made the directory of this config.json.
bool has_mark(std::string_view config) {
  const auto document = nlohmann::json::parse(config, nullptr, false);
  return document.is_object() && document.contains(kMark);
}

std::optional<DType> asked_dtype(const std::string& level) {
  if (level.empty()) return std::nullopt;
  return equals_ignore_case(level, "F32")   ? DType::F32
         : equals_ignore_case(level, "F16") ? DType::F16
                                            : DType::BF16;
}

/// The text with the mark of this program.
std::string marked(const std::string& config) {
  auto document = nlohmann::ordered_json::parse(config);
  document[kMark] = LLMQ_VERSION;
  return document.dump(2) + "\n";
}

Preparation prepare(const StageContext& context, const ConvertOptions& options, const fs::path& output) {
  Preparation made;
  context.comm.together("plan", [&] {
    made.source = open_model(options.input);
    if (context.comm.is_root()) {
      require_output_directory(output, gguf_files(options.input), options.force, has_mark,
                               "a directory that convert has made");
    }
    const Vocabulary vocabulary = made.source->vocabulary();
    const std::optional<DType> asked = asked_dtype(options.level);
    const DType main = asked.value_or(main_dtype(*made.source));
    const std::string config = hf_config_text(made.source->spec(), vocabulary, torch_dtype_name(main));
    made.level = dtype_name(main);
    made.plan = plan_hf(*made.source, hf_tensors(*made.source, config), main, asked, options.shard_bytes);
    made.files = tokenizer_files(made.source->spec(), vocabulary);
    made.files.emplace_back(kConfig, marked(config));
    if (!made.plan.layout.index.empty())
      made.files.emplace_back("model.safetensors.index.json", made.plan.layout.index);
    made.fingerprint = made.source->fingerprint();
    made.memory_bytes = context.threads * unit_scratch_bytes(made.plan) + kBaseMemoryBytes;
    require_memory(context, made.memory_bytes, "the convert plan");
  });
  return made;
}

/// Tensors of the source, whose experts are one.
std::vector<QuantizedTensor> describe(const HfPlan& plan) {
  std::vector<QuantizedTensor> all;
  for (std::size_t i = 0; i < plan.tensors.size(); ++i) {
    const HfPlannedTensor& tensor = plan.tensors[i];
    const ModelTensor& source = *tensor.tensor.source;
    if (tensor.tensor.expert == 0) {
      QuantizedTensor& described = all.emplace_back();
      described.name = tensor.tensor.rows == source.rows() ? tensor.tensor.name : source.name;
      described.type = dtype_name(tensor.dtype);
      described.source_type = type_name(source.stored_type);
      described.elements = source.elements();
    }
    all.back().bytes += plan.layout.places[i].size_bytes;
  }
  return all;
}

QuantizeResult describe(const Preparation& made, const fs::path& output) {
  QuantizeResult result;
  result.converted = true;
  result.format = "hf";
  result.output_path = output;
  result.level = made.level;
  describe_directory(*made.source, made.plan.layout, made.files, result);
  result.units = made.plan.units.size();
  result.memory_plan_bytes = made.memory_bytes;
  std::uint64_t bytes = 0, weights = 0;
  result.tensors = describe(made.plan);
  for (const QuantizedTensor& tensor : result.tensors) {
    bytes += tensor.bytes;
    weights += tensor.elements;
  }
  result.effective_bpw = 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
  return result;
}

/// Of what was written: less than planned where a tokenizer could not be.
void count_bytes(const fs::path& output, QuantizeResult& result) {
  result.file_bytes = output_bytes(output);
  result.compression_ratio =
      static_cast<double>(result.file_bytes) / static_cast<double>(result.original_bytes);
}

JobIdentity identify(const Preparation& made) {
  JobIdentity identity("convert");
  identity.add("version", LLMQ_VERSION);
  identity.add("model", made.fingerprint);
  identity.add("files", hash_of_heads(made.plan.layout, made.files));
  return identity;
}

void warn_about_tokenizer(Log& log, const std::string& lacking) {
  if (lacking.empty()) return;
  log.warn(
      fmt::format("the directory has no tokenizer.json or tokenizer.model, because what the file says is not "
                  "enough for one ({}): copy the tokenizer files of the original model into it",
                  lacking));
}

}  // namespace

QuantizeResult convert_to_hf(const StageContext& context, const ConvertOptions& options) {
  const Clock::time_point start = Clock::now();
  const fs::path output =
      directory_path(options.output_dir, options.output_name, model_base_name(options.input) + "-hf");
  context.log.status(fmt::format("Loading model: {}", options.input.string()));
  const Preparation made = prepare(context, options, output);
  QuantizeResult result = describe(made, output);
  const fs::path partial = partial_directory(output);
  JobDirectory job(context, options.checkpoints, identify(made), DirectoryUse::all_ranks);
  HfRun run(context, *made.source, made.plan, job, partial);
  write_directory(
      context, job, partial, result.file_bytes, run.output(), [&] { run.execute(); },
      [&] {
        warn_about_tokenizer(context.log, run.publish(made.files, output));
        count_bytes(output, result);
      });
  finish_run(context, run.output(), start, result);
  return result;
}

}  // namespace llmq
