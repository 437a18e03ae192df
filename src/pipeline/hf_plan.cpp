#include "pipeline/hf_plan.hpp"

#include <algorithm>
#include <map>

#include "llmq/core/error.hpp"
#include "llmq/pipeline/quantize_plan.hpp"
#include "llmq/quant/codec.hpp"

namespace llmq {
namespace {

constexpr std::uint64_t kUnitElems = std::uint64_t{1} << 20;

/// True if all values are numbers of the format.
bool is_exact(const ModelSource& source, const HfTensor& tensor, DType dtype) {
  std::vector<float> values(tensor.source->elements()), again(values.size());
  source.read_rows(*tensor.source, 0, tensor.source->rows(), RowOrder::hugging_face, values);
  for (float& value : values) value -= tensor.offset;
  const GgmlType type = block_type_of(dtype);
  std::vector<std::byte> encoded(values.size() * dtype_bytes(dtype));
  encode_rows(type, values, values.size(), {}, encoded);
  decode_rows(type, encoded, values.size(), again);
  return std::equal(values.begin(), values.end(), again.begin());  // not so for what is no number
}

DType choose_dtype(const ModelSource& source, const HfTensor& tensor, DType main,
                   std::optional<DType> asked) {
  if (asked) return *asked;
  const DType stored = plain_dtype(tensor.source->stored_type).value_or(main);
  const bool widened = stays_f32(*tensor.source) && stored == DType::F32 && main != DType::F32;
  return widened && is_exact(source, tensor, main) ? main : stored;
}

void cut_units(HfPlan& plan, std::uint32_t index) {
  const HfTensor& tensor = plan.tensors[index].tensor;
  const SafetensorsPlace& place = plan.layout.places[index];
  const std::uint64_t width = tensor.source->row_elems(),
                      row_bytes = width * dtype_bytes(plan.tensors[index].dtype);
  const std::uint64_t step = std::max<std::uint64_t>(1, kUnitElems / width);
  for (std::uint64_t row = 0; row < tensor.rows; row += step) {
    const std::uint64_t rows = std::min(step, tensor.rows - row);
    OutputUnit output;
    output.cost = static_cast<double>(rows * width);
    output.ranges.push_back(
        {static_cast<std::uint32_t>(place.shard), place.offset_bytes + row * row_bytes, rows * row_bytes});
    plan.units.push_back({index, tensor.first_row + row, rows});
    plan.outputs.push_back(std::move(output));
    plan.chunk_elems = std::max(plan.chunk_elems, rows * width);
  }
}

}  // namespace

DType main_dtype(const ModelSource& source) {
  std::map<std::optional<DType>, std::uint64_t> weights;
  for (const ModelTensor& tensor : source.tensors()) {
    if (tensor.n_dims > 1) weights[plain_dtype(tensor.stored_type)] += tensor.elements();
  }
  if (weights.empty()) return DType::F32;
  const auto most = std::max_element(weights.begin(), weights.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  return most->first.value_or(DType::F16);
}

HfPlan plan_hf(const ModelSource& source, const std::vector<HfTensor>& tensors, DType main,
               std::optional<DType> asked, std::uint64_t shard_bytes) {
  HfPlan plan;
  std::vector<SafetensorsEntry> entries;
  for (const HfTensor& tensor : tensors) {
    plan.tensors.push_back({tensor, choose_dtype(source, tensor, main, asked)});
    entries.push_back({tensor.name, plan.tensors.back().dtype, tensor.shape});
  }
  plan.layout = plan_safetensors(entries, shard_bytes);
  for (std::uint32_t i = 0; i < plan.tensors.size(); ++i) cut_units(plan, i);
  return plan;
}

std::uint64_t unit_scratch_bytes(const HfPlan& plan) {
  // f32 rows, the finished unit, raw rows, and a head's worth of rows while permuting.
  return plan.chunk_elems * 4 * 4;
}

}  // namespace llmq
