// Order of a run: check, plan, reserve the exact size as NAME.partial, units, verify, sync, rename.
// SPDX-License-Identifier: Apache-2.0
#include "llmq/pipeline/quantize.hpp"

#include <chrono>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/core/hash.hpp"
#include "llmq/core/text.hpp"
#include "llmq/formats/gguf_split.hpp"
#include "llmq/hub/cache.hpp"
#include "llmq/pipeline/interrupt.hpp"
#include "llmq/pipeline/layer_bits.hpp"
#include "llmq/pipeline/output_place.hpp"
#include "llmq/pipeline/quantize_plan.hpp"
#include "llmq/quant/codec.hpp"

#include "pipeline/dynamic.hpp"
#include "pipeline/job_directory.hpp"
#include "pipeline/protection.hpp"
#include "pipeline/protection_report.hpp"
#include "pipeline/quantize_checks.hpp"
#include "pipeline/quantize_estimate.hpp"
#include "pipeline/quantize_files.hpp"
#include "pipeline/quantize_run.hpp"
#include "pipeline/run_figures.hpp"
#include "pipeline/super_weight_lora.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

QuantizedTensor describe(const PlannedTensor& tensor) {
  QuantizedTensor described;
  described.name = tensor.source->name;
  described.type = type_name(tensor.type);
  described.source_type = type_name(tensor.source->stored_type);
  if (tensor.raised_from) described.raised_from = type_name(*tensor.raised_from);
  described.elements = tensor.source->elements();
  described.bytes = tensor.size_bytes;
  if (!tensor.fallback_from) return described;
  const BlockType& wanted = block_type(*tensor.fallback_from);
  described.fallback_from = wanted.name;
  described.fallback_bytes = tensor.size_bytes - described.elements / wanted.block_elems * wanted.block_bytes;
  described.fallback_bpw = bits_per_weight(tensor.type) - bits_per_weight(wanted.type);
  return described;
}

QuantizeResult describe(const QuantizePlan& plan, const ModelSource& source, const std::string& level,
                        const QuantizeFiles& files) {
  QuantizeResult result;
  result.output_path = files.finished.front();
  result.shards = describe_shards(plan, files);
  result.level = level;
  result.file_bytes = plan.file_bytes;
  result.original_bytes = source.stored_bytes();
  result.original_dtype = source.spec().torch_dtype;
  result.compression_ratio =
      static_cast<double>(plan.file_bytes) / static_cast<double>(result.original_bytes);
  result.layers = source.spec().n_layers;
  result.units = plan.units.size();
  result.head_bytes = plan.head_bytes;
  result.padding_bytes = plan.file_bytes - plan.head_bytes;  // less the tensors, below
  std::uint64_t bytes = 0;
  std::uint64_t weights = 0;
  for (const PlannedTensor& tensor : plan.tensors) {
    result.tensors.push_back(describe(tensor));
    result.padding_bytes -= tensor.size_bytes;
    if (tensor.fallback_from) {
      ++result.fallbacks;
      result.fallback_bytes += result.tensors.back().fallback_bytes;
    }
    if (!tensor.quantized) continue;
    bytes += tensor.size_bytes;
    weights += tensor.source->elements();
  }
  result.effective_bpw = weights == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
  return result;
}

void warn_about_plan(Log& log, const QuantizePlan& plan, const QuantizeResult& result) {
  if (result.fallbacks > 0) {
    log.warn(
        fmt::format("{} tensors got a fallback type because their rows are no multiple of the block size "
                    "(+{}); --dry-run lists them",
                    result.fallbacks, format_size(result.fallback_bytes)));
  }
  for (const std::string& pattern : plan.unused_patterns)
    log.warn(fmt::format("the pattern \"{}\" decides the type of no tensor", pattern));
  if (!plan.uncovered.empty()) {
    log.warn(fmt::format("{} tensors have no importance in the imatrix and are quantized without: {}",
                         plan.uncovered.size(), fmt::join(plan.uncovered, ", ")));
  }
}

/// The adapter's plan; its size into the result.
LoraPlan plan_adapter(Log& log, const ModelSource& source, const QuantizePlan& plan, const fs::path& path,
                      QuantizeResult& result) {
  LoraPlan lora = plan_lora(source.spec().architecture, plan);
  result.protection->lora_path = path;
  result.protection->lora_bytes = lora.file_bytes;
  if (lora.file_bytes > plan.file_bytes / 10) {
    log.warn(
        fmt::format("the adapter takes {}: it restores weights in many rows and columns; a smaller "
                    "--protection-coverage makes it smaller",
                    format_size(lora.file_bytes)));
  }
  return lora;
}

std::uint64_t planned_memory(const StageContext& context, const QuantizeOptions& options,
                             const QuantizePlan& plan) {
  // With gather as many encoded units are under way as there are threads, and one more is being received.
  const std::uint64_t under_way =
      options.assembly == Assembly::gather ? (context.threads + 1) * 4 * plan.chunk_elems : 0;
  return context.threads * unit_scratch_bytes(plan) + under_way + kBaseMemoryBytes;
}

/// The options' changes, and the rules of --layer-bits behind them.
PlanChanges all_changes(const QuantizeOptions& options) {
  PlanChanges changes = options.changes;
  if (!options.layer_bits) return changes;
  for (TypeRule& rule : read_layer_bits(*options.layer_bits))
    changes.types.by_name.push_back(std::move(rule));
  return changes;
}

/// What a message about another run can show; the hash of what is longer.
std::string short_form(const std::string& text) {
  constexpr std::size_t kMost = 1000;
  return text.size() <= kMost ? text : "sha256:" + Sha256().field(text).hex();
}

std::string describe_weights(const Protection& protection) {
  Sha256 hash;
  for (const auto& [name, indices] : protection.weights) {
    hash.field(name);
    hash.field(fmt::format("{}", fmt::join(indices, " ")));
  }
  return fmt::format("{} weights, coverage {}, sha256:{}", protection.count(), protection.coverage,
                     hash.hex());
}

JobIdentity identify(const PlanRecipe& recipe, const Imatrix* imatrix, const PlanChanges& changes,
                     const Protection* protection, const QuantizePlan& plan, const std::string& fingerprint) {
  JobIdentity identity("quantize");
  identity.add("version", LLMQ_VERSION);
  identity.add("model", fingerprint);
  identity.add("level", recipe.name);
  identity.add("imatrix", imatrix == nullptr ? "none" : imatrix->content_hash());
  identity.add("type rules", short_form(changes.types.description()));
  std::string metadata;
  for (const MetadataOverride& change : changes.metadata)
    metadata += fmt::format("{}{:?}", metadata.empty() ? "" : " ", change.description());
  identity.add("override-kv", short_form(metadata));
  Sha256 types;
  for (const TypeChoice& choice : recipe.choices) types.field(type_name(choice.type));
  identity.add("types", "sha256:" + types.hex());
  identity.add("protected weights", protection == nullptr ? "none" : describe_weights(*protection));
  identity.add("file_bytes", std::to_string(plan.file_bytes));
  if (!plan.shards.empty()) identity.add("split-max-size", std::to_string(plan.split_max_bytes));
  return identity;
}

}  // namespace

std::string model_base_name(const fs::path& model) { return gguf_stem(hub::last_part(model)).string(); }

fs::path quantized_path(const fs::path& model, std::string_view level, const fs::path& directory,
                        const std::string& name) {
  std::string file = name.empty() ? fmt::format("{}-{}", model_base_name(model), level) : name;
  if (!file.ends_with(".gguf")) file += ".gguf";
  return directory / file;
}

QuantizeResult run_quantize(const StageContext& context, const QuantizeOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  check_protection(options);
  const FileLevel* level = options.dynamic ? nullptr : &require_level(options.level);
  const std::string level_name = canonical_level(options.level);
  const fs::path output = output_path(options, level_name);
  if (level != nullptr && (!options.calibration_data.empty() || options.calibration_samples)) {
    context.log.warn(
        fmt::format("calibration options have no effect on level {}: give --imatrix", level_name));
  }
  context.log.status(fmt::format("Loading model: {}", hub::model_title(options.model).string()));

  std::unique_ptr<ModelSource> source;
  std::optional<Imatrix> imatrix;
  PlanChanges changes;
  std::string fingerprint;
  Vocabulary vocabulary;
  std::optional<DynamicRequest> request;
  std::optional<Protection> protection;
  context.comm.together("plan", [&] {
    source = open_model(options.model);
    check_requantize(options, *source);
    if (!options.dry_run && context.comm.is_root()) check_output(options, output);
    changes = all_changes(options);
    fingerprint = source->fingerprint();
    vocabulary = source->vocabulary();
    if (options.dynamic) request = prepare_dynamic(options, changes, *source);
    if (options.dynamic || !options.imatrix) return;
    context.log.status(fmt::format("Loading importance matrix: {}", options.imatrix->string()));
    imatrix = read_imatrix(*options.imatrix);
  });
  const auto plan_recipe = [&](const PlanRecipe& recipe) {
    return plan_quantize(*source, vocabulary, recipe, imatrix ? &*imatrix : nullptr, fingerprint, changes,
                         protection ? &*protection : nullptr);
  };
  PlanRecipe recipe;
  std::optional<DynamicResult> dynamic;
  if (request) {
    RunImatrix made = dynamic_imatrix(context, *request);
    imatrix = made.imatrix;
    protection = dynamic_protection(context, *source, *request, made);
    DynamicChoice choice =
        choose_dynamic(context, *source, *request, made, protection ? &*protection : nullptr, fingerprint,
                       [&](const PlanRecipe& any) { return fixed_bytes(plan_recipe(any)); });
    recipe = std::move(choice.recipe);
    dynamic = std::move(choice.result);
  } else {
    recipe = recipe_of_level(*source, *level, imatrix.has_value(), changes.types);
    if (options.protect_super_weights) {
      protection = gather_protection(context, *source, *imatrix, options.protection_coverage);
      QuantizePlan unraised;
      context.comm.together("plan", [&] { unraised = plan_recipe(recipe); });
      raise_types(context, *source, unraised, *protection);
    }
  }
  QuantizePlan plan;
  std::optional<JobIdentity> identity;
  context.comm.together("plan", [&] {
    plan = plan_recipe(recipe);
    require_memory(context, planned_memory(context, options, plan), "the quantize plan");
    identity = identify(recipe, imatrix ? &*imatrix : nullptr, changes, protection ? &*protection : nullptr,
                        plan, fingerprint);
  });
  const QuantizeFiles files = quantize_files(plan, output);
  QuantizeResult result = describe(plan, *source, level_name, files);
  result.dynamic = std::move(dynamic);
  warn_about_plan(context.log, plan, result);
  if (imatrix) {
    for (const std::string& line : find_gaps(*imatrix).lines()) context.log.warn("the imatrix has " + line);
  }
  std::optional<LoraPlan> lora;
  if (protection) {
    result.protection = describe_protection(plan, *protection);
    if (options.super_weight_lora)
      lora = plan_adapter(context.log, *source, plan, *options.super_weight_lora, result);
  }
  result.memory_plan_bytes = planned_memory(context, options, plan);
  result.dry_run = options.dry_run;
  if (options.dry_run) {
    result.estimated_seconds = estimate_seconds(context, *source, plan);
    return result;
  }

  JobDirectory job(context, request ? request->checkpoints : options.checkpoints, *identity,
                   options.assembly == Assembly::gather ? DirectoryUse::root_only : DirectoryUse::all_ranks);
  context.comm.together("check disk space", [&] {
    if (!context.comm.is_root()) return;
    require_disk(files.partial, plan.file_bytes);
    if (lora) require_disk({*options.super_weight_lora}, lora->file_bytes);
  });
  QuantizeRun run(context, *source, plan, job, files, options.assembly);
  const auto work = [&] {
    run.execute();
    if (protection) {
      const int readers = options.assembly == Assembly::gather ? 1 : context.comm.size();
      const auto measured = measure_protected(context, *source, plan, files.partial, readers);
      add_errors(plan, measured, *result.protection);
      context.comm.together("write the adapter", [&] {
        if (lora && context.comm.is_root()) write_lora(*lora, plan, measured, *options.super_weight_lora);
      });
    }
    run.publish();
  };
  run_resumable(context, job, work, [&] { run.discard(); });
  finish_run(context, run.output(), start, result);
  return result;
}

}  // namespace llmq
