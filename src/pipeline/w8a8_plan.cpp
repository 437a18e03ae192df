#include "pipeline/w8a8_plan.hpp"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/smoothquant/int8_source.hpp"
#include "llmq/smoothquant/mapping.hpp"

namespace llmq {
namespace {

constexpr std::uint64_t kUnitElems = std::uint64_t{1} << 20;
constexpr std::string_view kWeight = ".weight";

DType stored_dtype(const ModelTensor& tensor) {
  if (tensor.stored_type == GgmlType::I8)
    return DType::BF16;  // codes of an earlier directory, not coded again
  // What scales divide: those follow from the rounded weight of the norm, so its bias needs all digits.
  if (tensor.name.ends_with("_norm.bias")) return DType::F32;
  return plain_dtype(tensor.stored_type).value_or(DType::F32);
}

/// "model.layers.0.mlp.up_proj.weight" -> "model.layers.0.mlp.up_proj".
std::string module_of(const std::string& weight) { return weight.substr(0, weight.size() - kWeight.size()); }

/// Hugging Face order: rows before columns. Of one expert, for those are tensors by themselves there.
std::vector<std::uint64_t> shape_of(const ModelTensor& tensor) {
  if (tensor.n_dims == 1) return {tensor.ne[0]};
  return {tensor.ne[1], tensor.ne[0]};
}

class Planner {
 public:
  Planner(const ModelSource& source, ActivationScales activations, const KeptWeights& kept)
      : source_(source), fixed_(activations == ActivationScales::fixed), kept_(kept) {}

  W8a8Plan run(std::uint64_t shard_bytes) {
    for (const ModelTensor& tensor : source_.tensors()) {
      if (!tensor.source_name.empty()) add_tensor(tensor);  // others are made, not stored
    }
    plan_.layout = plan_safetensors(plan_.entries, shard_bytes);
    for (std::uint32_t i = 0; i < plan_.tensors.size(); ++i) cut_units(i);
    return std::move(plan_);
  }

 private:
  std::size_t add_entry(std::string name, DType dtype, std::vector<std::uint64_t> shape) {
    plan_.entries.push_back({std::move(name), dtype, std::move(shape)});
    return plan_.entries.size() - 1;
  }

  void add_tensor(const ModelTensor& tensor) {
    W8a8Tensor planned;
    planned.source = &tensor;
    const auto kept = kept_.find(tensor.name);
    const bool coded = is_linear_weight(tensor) && kept == kept_.end();
    planned.dtype = coded ? DType::I8 : kept != kept_.end() ? kept->second : stored_dtype(tensor);
    planned.values = plan_.entries.size();
    for (std::uint64_t expert = 0; expert < tensor.ne[2]; ++expert)
      add_entry(name_of_expert(tensor.source_name, expert), planned.dtype, shape_of(tensor));
    if (coded) {
      planned.row_scales = add_entry(tensor.source_name + "_scale", DType::F32, {tensor.rows(), 1});
      if (fixed_)
        planned.input_scale = add_entry(module_of(tensor.source_name) + ".input_scale", DType::F32, {1});
    }
    plan_.tensors.push_back(planned);
  }

  OutputRange range(std::size_t entry, std::uint64_t first, std::uint64_t count) const {
    const SafetensorsPlace& place = plan_.layout.places[entry];
    const std::uint64_t width = dtype_bytes(plan_.entries[entry].dtype);
    return {static_cast<std::uint32_t>(place.shard), place.offset_bytes + first * width, count * width};
  }

  void cut_units(std::uint32_t index) {
    const W8a8Tensor& tensor = plan_.tensors[index];
    const std::uint64_t width = tensor.source->row_elems(), all = tensor.source->rows();
    const std::uint64_t step = std::max<std::uint64_t>(1, kUnitElems / width), matrix = tensor.source->ne[1];
    for (std::uint64_t row = 0, rows = 0; row < all; row += rows) {
      const std::uint64_t at = row % matrix;  // in its expert's own tensor
      rows = std::min(step, matrix - at);
      OutputUnit output;
      output.cost = static_cast<double>(rows * width);
      output.ranges.push_back(range(tensor.values + row / matrix, at * width, rows * width));
      if (tensor.row_scales) output.ranges.push_back(range(*tensor.row_scales, row, rows));
      if (tensor.input_scale && row == 0) output.ranges.push_back(range(*tensor.input_scale, 0, 1));
      plan_.units.push_back({index, row, rows});
      plan_.outputs.push_back(std::move(output));
      plan_.chunk_elems = std::max(plan_.chunk_elems, rows * width);
    }
  }

  const ModelSource& source_;
  bool fixed_;
  const KeptWeights& kept_;
  W8a8Plan plan_;
};

DType kept_dtype(const TypeRule& rule) {
  if (const std::optional<DType> plain = plain_dtype(rule.type)) return *plain;
  throw Error(ExitCode::invalid_arguments,
              fmt::format("--tensor-type {}={}: a weight of a W8A8 directory is I8, BF16, F16 or F32",
                          rule.pattern, type_name(rule.type)),
              "Give one of BF16, F16 and F32 for weights that shall not become I8");
}

}  // namespace

KeptWeights kept_weights(const ModelSource& source, const TypeRules& rules, std::vector<std::string>& added,
                         std::vector<std::string>& unused) {
  KeptWeights kept;
  std::vector<DType> types;
  std::set<std::size_t> used;
  for (const TypeRule& rule : rules.by_name) types.push_back(kept_dtype(rule));
  for (const ModelTensor& tensor : source.tensors()) {
    if (!is_linear_weight(tensor)) continue;
    const auto rule = rules.find(tensor.name);
    if (!rule) continue;
    kept.emplace(tensor.name, types[*rule]);
    used.insert(*rule);
  }
  for (const SmoothMapping& mapping : smooth_mappings(source.spec())) {
    const auto one = std::find_if(mapping.balance.begin(), mapping.balance.end(),
                                  [&](const std::string& weight) { return kept.contains(weight); });
    if (one == mapping.balance.end()) continue;
    for (const std::string& weight : mapping.balance) {
      if (kept.emplace(weight, kept.at(*one)).second) added.push_back(weight);
    }
  }
  for (std::size_t i = 0; i < rules.by_name.size(); ++i) {
    if (!used.contains(i)) unused.push_back(rules.by_name[i].pattern);
  }
  return kept;
}

W8a8Plan plan_w8a8(const ModelSource& source, ActivationScales activations, const KeptWeights& kept,
                   std::uint64_t shard_bytes) {
  return Planner(source, activations, kept).run(shard_bytes);
}

std::uint64_t unit_scratch_bytes(const W8a8Plan& plan) {
  // f32 rows, codes, raw rows and the finished unit.
  return plan.chunk_elems * 4 * 4;
}

}  // namespace llmq
