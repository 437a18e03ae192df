#include "llmq/pipeline/quantize_plan.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "llmq/core/checked.hpp"
#include "llmq/core/error.hpp"
#include "llmq/quant/codec.hpp"

#include "pipeline/tensor_importance.hpp"

namespace llmq {
namespace {

constexpr std::uint64_t kUnitElems = std::uint64_t{1}
                                     << 20;  // 4 MiB of f32: fits L2/L3, thousands of units a model

/// A tensor that keeps the type of a quantized source is encoded anew, too.
void require_encoders(const QuantizePlan& plan) {
  for (const PlannedTensor& tensor : plan.tensors) {
    if (can_encode(tensor.type)) continue;
    throw Error(
        ExitCode::unsupported_conversion,
        fmt::format("tensor {}: type {} is not supported yet", tensor.source->name, type_name(tensor.type)),
        "Choose another level or another --tensor-type");
  }
}

std::vector<std::string> unused_patterns(const TypeRules& rules, const std::vector<TypeChoice>& choices) {
  std::vector<bool> used(rules.by_name.size(), false);
  for (const TypeChoice& choice : choices) {
    if (choice.rule) used[*choice.rule] = true;
  }
  std::vector<std::string> unused;
  for (std::size_t i = 0; i < used.size(); ++i) {
    if (!used[i]) unused.push_back(rules.by_name[i].pattern);
  }
  return unused;
}

/// Puts each tensor's importance into the plan and checks that the imatrix belongs to this model.
void attach_importance(const Imatrix& imatrix, QuantizePlan& plan) {
  std::size_t matched = 0;
  for (PlannedTensor& tensor : plan.tensors) {
    if (!tensor.quantized) continue;
    auto importance = importance_of(imatrix, *tensor.source);
    if (!importance) {
      if (tensor.source->layer >= 0) plan.uncovered.push_back(tensor.source->name);
      continue;
    }
    tensor.importance = std::move(importance->columns);
    ++matched;
  }
  const bool any_quantized = std::any_of(plan.tensors.begin(), plan.tensors.end(),
                                         [](const PlannedTensor& tensor) { return tensor.quantized; });
  if (matched == 0 && any_quantized) {
    throw Error(ExitCode::imatrix, "no entry of the imatrix fits a tensor of this model",
                "This imatrix is of another model; make one with: llm-quantize analyze MODEL");
  }
}

void require_coverage(const PlanRecipe& recipe, bool has_imatrix, const QuantizePlan& plan) {
  std::vector<std::string> missing;
  for (const PlannedTensor& tensor : plan.tensors) {
    if (tensor.quantized && tensor.importance.empty() &&
        requires_imatrix(tensor.type, *recipe.level, tensor.source->name)) {
      missing.push_back(fmt::format("{} ({})", tensor.source->name, type_name(tensor.type)));
    }
  }
  if (missing.empty()) return;
  throw Error(ExitCode::imatrix,
              fmt::format("level {}: {}: {}", recipe.name,
                          has_imatrix ? "the importance matrix lacks tensors whose type requires one"
                                      : "an importance matrix is required for these tensors",
                          fmt::join(missing, ", ")),
              "Make one with: llm-quantize analyze MODEL, then pass --imatrix MODEL.imatrix");
}

void write_provenance(const PlanRecipe& recipe, const Imatrix* imatrix, const std::string& fingerprint,
                      const PlanChanges& changes, const Protection* protection, GgufMetadata& metadata) {
  metadata.set("general.file_type", recipe.level->file_type);
  metadata.set("general.quantization_version", std::uint32_t{2});
  metadata.set("llm_quantize.version", std::string(LLMQ_VERSION));
  metadata.set("llm_quantize.recipe", recipe.name);
  metadata.set("llm_quantize.source_fingerprint", "sha256:" + fingerprint);
  for (const GgufMetadata::Pair& pair : recipe.metadata) metadata.set(pair.key, pair.value);
  if (!changes.types.empty()) metadata.set("llm_quantize.type_rules", changes.types.description());
  if (!changes.metadata.empty()) {
    std::vector<std::string_view> keys;
    for (const MetadataOverride& change : changes.metadata) keys.push_back(change.key);
    metadata.set("llm_quantize.overridden_keys", fmt::format("{}", fmt::join(keys, ", ")));
  }
  if (protection != nullptr) {
    metadata.set("llm_quantize.protected_weights", protection->count());
    metadata.set("llm_quantize.protection_coverage", protection->coverage);
  }
  if (imatrix == nullptr) return;
  metadata.set("quantize.imatrix.file", "sha256:" + imatrix->content_hash().substr(0, 16));
  if (!imatrix->dataset_name.empty()) metadata.set("quantize.imatrix.dataset", imatrix->dataset_name);
  metadata.set("quantize.imatrix.entries_count",
               checked_cast<std::uint32_t>(imatrix->entries.size(), "imatrix entries"));
  if (imatrix->samples > 0) {
    metadata.set("quantize.imatrix.chunks_count",
                 checked_cast<std::uint32_t>(imatrix->samples, "imatrix samples"));
  }
}

/// Raised types win over all rules: a weight is protected or it is not.
void attach_protection(const Protection& protection, QuantizePlan& plan) {
  for (PlannedTensor& tensor : plan.tensors) {
    const auto found = protection.weights.find(tensor.source->name);
    if (found == protection.weights.end()) continue;
    tensor.protected_weights = found->second;
    const auto raised = protection.raised.find(tensor.source->name);
    if (raised == protection.raised.end()) continue;
    tensor.raised_from = std::exchange(tensor.type, raised->second);
    tensor.fallback_from.reset();
  }
}

/// Relative cost of a weight: searching types take several times longer than rounding types.
double weight_cost(const PlannedTensor& tensor) {
  if (!tensor.quantized || block_type(tensor.type).block_elems == 1) return 1;
  return block_type(tensor.type).block_elems == 256 ? 12 : 4;
}

/// Tensors, in their order, over files of the size that is asked for.
void divide(QuantizePlan& plan) {
  GgufSplit split = plan_gguf_split(plan.header, plan.split_max_bytes);
  plan.file_bytes = plan.head_bytes = 0;
  std::size_t tensor = 0;
  for (std::size_t file = 0; file < split.shards.size(); ++file) {
    const GgufShard& shard = split.shards[file];
    plan.file_bytes += shard.file_bytes;
    plan.head_bytes += shard.header.data_start;
    for (const GgufTensorInfo& info : shard.header.tensors) {
      plan.tensors[tensor].file = static_cast<std::uint32_t>(file);
      plan.tensors[tensor].offset_bytes = shard.header.data_start + info.offset_bytes;
      ++tensor;
    }
  }
  plan.shards = std::move(split.shards);
}

void lay_out(QuantizePlan& plan) {
  for (const PlannedTensor& tensor : plan.tensors) {
    GgufTensorInfo info;
    info.name = tensor.source->name;
    info.n_dims = tensor.source->n_dims;
    info.ne = tensor.source->ne;
    info.type = tensor.type;
    plan.header.tensors.push_back(std::move(info));
  }
  plan.file_bytes = plan_gguf(plan.header);
  plan.head_bytes = plan.header.data_start;
  for (std::size_t i = 0; i < plan.tensors.size(); ++i) {
    plan.tensors[i].offset_bytes = plan.header.data_start + plan.header.tensors[i].offset_bytes;
    plan.tensors[i].size_bytes = plan.header.tensors[i].size_bytes;
  }
  if (plan.split_max_bytes != 0 && plan.file_bytes > plan.split_max_bytes) divide(plan);
}

void cut_units(QuantizePlan& plan) {
  for (std::size_t index = 0; index < plan.tensors.size(); ++index) {
    const PlannedTensor& tensor = plan.tensors[index];
    const std::uint64_t elems = tensor.source->row_elems();
    const std::uint64_t bytes = row_bytes(tensor.type, elems);
    const std::uint64_t matrix_rows = tensor.source->ne[1];
    const std::uint64_t step = std::max<std::uint64_t>(1, kUnitElems / std::max<std::uint64_t>(1, elems));
    for (std::uint64_t row = 0; row < tensor.source->rows();) {
      const std::uint64_t matrix_end = (row / matrix_rows + 1) * matrix_rows;
      const std::uint64_t rows = std::min(step, matrix_end - row);
      plan.units.push_back({static_cast<std::uint32_t>(index), row, rows, tensor.offset_bytes + row * bytes,
                            rows * bytes, weight_cost(tensor) * static_cast<double>(rows * elems)});
      plan.chunk_elems = std::max(plan.chunk_elems, rows * elems);
      row += rows;
    }
  }
}

}  // namespace

std::uint64_t Protection::count() const noexcept {
  std::uint64_t total = 0;
  for (const auto& [name, indices] : weights) total += indices.size();
  return total;
}

bool stays_f32(const ModelTensor& tensor) {
  return tensor.n_dims <= 1 || tensor.name.ends_with("_norm.weight") || !tensor.name.ends_with(".weight") ||
         tensor.name.ends_with("ffn_gate_inp.weight") || tensor.name.ends_with("ffn_gate_inp_shexp.weight");
}

MixTensor mix_tensor(const ModelTensor& tensor) {
  return {tensor.name, tensor.ne[0], tensor.ne[1], tensor.ne[2],
          stays_f32(tensor) ? GgmlType::F32 : tensor.stored_type};
}

std::vector<MixTensor> mix_tensors(const ModelSource& source) {
  std::vector<MixTensor> tensors;
  for (const ModelTensor& tensor : source.tensors()) tensors.push_back(mix_tensor(tensor));
  return tensors;
}

MixModel mix_model(const ModelSpec& spec) {
  return {spec.architecture, spec.n_layers, spec.n_heads, spec.n_kv_heads, 0};
}

PlanRecipe recipe_of_level(const ModelSource& source, const FileLevel& level, bool has_imatrix,
                           const TypeRules& rules) {
  return {std::string(level.name),
          &level,
          choose_types(level, mix_model(source.spec()), mix_tensors(source), has_imatrix, rules),
          {}};
}

QuantizePlan plan_quantize(const ModelSource& source, const Vocabulary& vocabulary, const FileLevel& level,
                           const Imatrix* imatrix, const std::string& fingerprint, const PlanChanges& changes,
                           const Protection* protection) {
  return plan_quantize(source, vocabulary, recipe_of_level(source, level, imatrix != nullptr, changes.types),
                       imatrix, fingerprint, changes, protection);
}

QuantizePlan plan_quantize(const ModelSource& source, const Vocabulary& vocabulary, const PlanRecipe& recipe,
                           const Imatrix* imatrix, const std::string& fingerprint, const PlanChanges& changes,
                           const Protection* protection) {
  QuantizePlan plan;
  plan.split_max_bytes = changes.split_max_bytes;
  const std::vector<TypeChoice>& choices = recipe.choices;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    PlannedTensor tensor;
    tensor.source = &source.tensors()[i];
    tensor.type = choices[i].type;
    tensor.quantized = choices[i].quantized;
    tensor.fallback_from = choices[i].fallback_from;
    plan.tensors.push_back(std::move(tensor));
  }
  plan.unused_patterns = unused_patterns(changes.types, choices);
  if (imatrix != nullptr) attach_importance(*imatrix, plan);
  require_coverage(recipe, imatrix != nullptr, plan);
  if (protection != nullptr) attach_protection(*protection, plan);
  require_encoders(plan);
  write_model_metadata(source.spec(), source.parameter_count(), plan.header.metadata);
  write_vocabulary(vocabulary, plan.header.metadata);
  write_provenance(recipe, imatrix, fingerprint, changes, protection, plan.header.metadata);
  apply_metadata_overrides(changes.metadata, plan.header.metadata);
  lay_out(plan);
  cut_units(plan);
  return plan;
}

std::uint64_t fixed_bytes(const QuantizePlan& plan) {
  std::uint64_t bytes = plan.header.data_start;
  for (const PlannedTensor& tensor : plan.tensors) {
    if (!tensor.quantized) bytes += align_up(tensor.size_bytes, plan.header.alignment);
  }
  // How many files there are depends on types; there is never more than one a tensor beside the first.
  if (plan.split_max_bytes != 0) bytes += (plan.tensors.size() + 1) * kGgufShardBytes;
  return bytes;
}

std::uint64_t unit_scratch_bytes(const QuantizePlan& plan) {
  // f32 rows, encoded rows (at most as large), raw rows, and a head's worth of rows while permuting.
  return plan.chunk_elems * 4 * 4;
}

}  // namespace llmq
