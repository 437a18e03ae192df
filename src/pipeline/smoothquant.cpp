// Order of a run: check, plan, ranges, scales, reserve NAME.partial/, units, verify, check, rename.
// SPDX-License-Identifier: Apache-2.0
#include "llmq/pipeline/smoothquant.hpp"

#include <chrono>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/hash.hpp"
#include "llmq/core/text.hpp"
#include "llmq/hub/cache.hpp"
#include "llmq/pipeline/output_place.hpp"
#include "llmq/pipeline/quantize.hpp"
#include "llmq/smoothquant/int8_source.hpp"

#include "pipeline/job_directory.hpp"
#include "pipeline/quantize_checks.hpp"
#include "pipeline/quantize_run.hpp"
#include "pipeline/run_figures.hpp"
#include "pipeline/run_imatrix.hpp"
#include "pipeline/safetensors_directory.hpp"
#include "pipeline/smooth_stage.hpp"
#include "pipeline/w8a8_directory.hpp"
#include "pipeline/w8a8_plan.hpp"
#include "pipeline/w8a8_run.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr const char* kLevel = "W8A8";

/// What is known before anything is measured.
struct Preparation {
  std::unique_ptr<ModelSource> source;
  std::string fingerprint;
  KeptWeights kept;
  W8a8Plan plan;
  NamedTexts companions;
  CheckpointOptions checkpoints;
  std::uint64_t memory_bytes = 0;
};

std::uint64_t planned_memory(const StageContext& context, const QuantizeOptions& options,
                             const W8a8Plan& plan) {
  const std::uint64_t under_way =
      options.assembly == Assembly::gather ? (context.threads + 1) * 4 * plan.chunk_elems : 0;
  return context.threads * unit_scratch_bytes(plan) + under_way + kBaseMemoryBytes;
}

void warn_about_kept(Log& log, const std::vector<std::string>& added,
                     const std::vector<std::string>& unused) {
  for (const std::string& pattern : unused)
    log.warn(fmt::format("the pattern \"{}\" decides the type of no tensor", pattern));
  if (added.empty()) return;
  log.warn(fmt::format("{} weights keep their numbers, too, because engines join them with one that does: {}",
                       added.size(), join_some(added)));
}

void check_place(const QuantizeOptions& options, const fs::path& output) {
  std::vector<fs::path> inputs = {options.model};
  if (options.imatrix) inputs.push_back(*options.imatrix);
  if (!options.calibration_data.empty()) inputs.emplace_back(options.calibration_data);
  require_w8a8_place(output, inputs, options.force);
  if (!options.quality_report) return;
  const fs::path report = quality_report_path(output);
  require_output_place(report, inputs, "--output-name or --output-dir");
  if (fs::exists(report) && !options.force) {
    throw Error(ExitCode::invalid_arguments, fmt::format("{}: output exists already", report.string()),
                "Use --force to overwrite it, or choose another --output-name");
  }
}

Preparation prepare(const StageContext& context, const QuantizeOptions& options, const fs::path& output) {
  Preparation made;
  context.comm.together("plan", [&] {
    made.source = open_model(options.model);
    if (made.source->is_gguf()) {
      throw Error(
          ExitCode::unsupported_conversion,
          fmt::format("{}: a W8A8 directory is made from a Hugging Face directory", options.model.string()),
          "Give the directory that the GGUF file was made from");
    }
    check_requantize(options, *made.source);
    if (!options.dry_run && context.comm.is_root()) check_place(options, output);
    std::vector<std::string> added, unused;
    made.kept = kept_weights(*made.source, options.changes.types, added, unused);
    warn_about_kept(context.log, added, unused);
    made.plan = plan_w8a8(*made.source, options.smoothquant->activations, made.kept,
                          options.smoothquant->shard_bytes);
    made.companions = companion_files(options.model, made.plan, options.smoothquant->activations);
    made.fingerprint = made.source->fingerprint();
    made.checkpoints = part_checkpoints(options.checkpoints);
    made.memory_bytes = planned_memory(context, options, made.plan);
    require_memory(context, made.memory_bytes, "the quantize plan");
  });
  return made;
}

QuantizedTensor describe(const W8a8Plan& plan, const W8a8Tensor& tensor) {
  QuantizedTensor described;
  described.name = tensor.source->source_name;
  described.type = dtype_name(tensor.dtype);
  described.source_type = type_name(tensor.source->stored_type);
  described.elements = tensor.source->elements();
  for (std::uint64_t expert = 0; expert < tensor.source->ne[2]; ++expert)
    described.bytes += plan.layout.places[tensor.values + expert].size_bytes;
  for (const auto& entry : {tensor.row_scales, tensor.input_scale}) {
    if (entry) described.bytes += plan.layout.places[*entry].size_bytes;
  }
  return described;
}

QuantizeResult describe(const Preparation& made, const fs::path& output) {
  QuantizeResult result;
  result.format = "smoothquant";
  result.output_path = output;
  result.level = kLevel;
  describe_directory(*made.source, made.plan.layout, made.companions, result);
  result.units = made.plan.units.size();
  result.memory_plan_bytes = made.memory_bytes;
  std::uint64_t bytes = 0, weights = 0;
  for (const W8a8Tensor& tensor : made.plan.tensors) {
    result.tensors.push_back(describe(made.plan, tensor));
    if (!tensor.coded()) continue;
    bytes += result.tensors.back().bytes;
    weights += result.tensors.back().elements;
  }
  result.effective_bpw = weights == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
  return result;
}

SmoothQuantResult describe_request(const QuantizeOptions& options, const Preparation& made) {
  SmoothQuantResult result;
  result.alpha = options.smoothquant->alpha;
  result.activations = options.smoothquant->activations;
  result.shards = made.plan.layout.shards.size();
  for (const auto& [name, dtype] : made.kept)
    result.kept.push_back(fmt::format("{} ({})", made.source->find(name)->source_name, dtype_name(dtype)));
  return result;
}

JobIdentity identify(const QuantizeOptions& options, const Preparation& made, const SmoothedModel& smoothed) {
  JobIdentity identity("smoothquant");
  identity.add("version", LLMQ_VERSION);
  identity.add("model", made.fingerprint);
  identity.add("alpha", options.smoothquant->alpha ? fmt::format("{}", *options.smoothquant->alpha) : "auto");
  const SmoothedSource source(*made.source, smoothed.scalings);
  identity.add("scales", "sha256:" + Int8Source(source, smoothed.input_scales).fingerprint());
  identity.add("files", hash_of_heads(made.plan.layout, made.companions));
  return identity;
}

}  // namespace

QuantizeResult run_smoothquant(const StageContext& context, const QuantizeOptions& options) {
  const Clock::time_point start = Clock::now();
  const fs::path output = w8a8_path(options.model, options.output_dir, options.output_name);
  context.log.status(fmt::format("Loading model: {}", hub::model_title(options.model).string()));
  const Preparation made = prepare(context, options, output);
  QuantizeResult result = describe(made, output);
  result.smoothquant = describe_request(options, made);
  result.dry_run = options.dry_run;
  if (options.dry_run) return result;

  const SmoothedModel smoothed =
      smooth_model(context, options, *made.source, made.kept, made.checkpoints, *result.smoothquant);
  const fs::path partial = partial_directory(output);
  const JobIdentity identity = identify(options, made, smoothed);
  JobDirectory job(context, made.checkpoints, identity,
                   options.assembly == Assembly::gather ? DirectoryUse::root_only : DirectoryUse::all_ranks);
  W8a8Run run(context, *made.source, smoothed, made.plan, job, partial, options.assembly);
  write_directory(
      context, job, partial, result.file_bytes, run.output(), [&] { run.execute(); },
      [&] { publish_w8a8(partial, made.plan, made.companions, output); });
  finish_run(context, run.output(), start, result);
  return result;
}

}  // namespace llmq
