#include "pipeline/quantize_run.hpp"

#include <cmath>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/quant/codec.hpp"

#include "pipeline/protected_rows.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

constexpr float kLargestHalf = 65504.0F;

std::vector<OutputUnit> output_units(const QuantizePlan& plan) {
  std::vector<OutputUnit> units;
  units.reserve(plan.units.size());
  for (const QuantizeUnit& unit : plan.units)
    units.push_back({{{plan.tensors[unit.tensor].file, unit.offset_bytes, unit.size_bytes}}, unit.cost});
  return units;
}

}  // namespace

QuantizeRun::QuantizeRun(const StageContext& context, const ModelSource& source, const QuantizePlan& plan,
                         const JobDirectory& job, QuantizeFiles files, Assembly assembly)
    : context_(context),
      source_(source),
      plan_(plan),
      files_(std::move(files)),
      output_(context, output_files(plan, files_), output_units(plan), job, assembly) {}

void QuantizeRun::execute() {
  std::vector<std::vector<float>> weights(context_.threads);
  output_.execute([&](std::uint32_t unit, std::size_t worker,
                      std::span<std::byte> bytes) { encode_unit(unit, weights[worker], bytes); },
                  "Quantizing", source_.spec().n_layers);
  ternary_loss_.report(context_);
}

void QuantizeRun::check_values(const PlannedTensor& tensor, std::uint64_t first_row,
                               std::span<const float> weights) const {
  const float limit = tensor.type == GgmlType::F16 ? kLargestHalf : std::numeric_limits<float>::max();
  bool sound = true;  // no early exit: such a loop becomes vector code
  for (const float weight : weights) sound &= std::fabs(weight) <= limit;
  if (sound) return;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (std::fabs(weights[i]) <= limit) continue;  // false for NaN
    const std::uint64_t elems = tensor.source->row_elems();
    const bool finite = std::isfinite(weights[i]);
    throw Error(ExitCode::validation,
                fmt::format("tensor {} ({}), row {}, column {}: {} {}", tensor.source->name,
                            tensor.source->source_name, first_row + i / elems, i % elems, weights[i],
                            finite ? "does not fit F16" : "is not a finite weight"),
                finite ? "Use level BF16 or F32" : "The checkpoint is damaged; fetch it again");
  }
}

void QuantizeRun::encode_unit(std::uint32_t index, std::vector<float>& weights,
                              std::span<std::byte> encoded) {
  const QuantizeUnit& unit = plan_.units[index];
  const PlannedTensor& tensor = plan_.tensors[unit.tensor];
  const std::uint64_t elems = tensor.source->row_elems();
  const std::uint64_t row_size = row_bytes(tensor.type, elems);
  std::span<const float> importance;
  if (!tensor.importance.empty()) importance = tensor.importance[unit.row / tensor.source->ne[1]];
  const std::uint64_t step = rows_at_once(*tensor.source);
  for (std::uint64_t done = 0; done < unit.rows; done += step) {
    const std::uint64_t rows = std::min(step, unit.rows - done);
    weights.resize(rows * elems);
    {
      const TimelineScope reading(output_.timeline(), Activity::read);
      source_.read_rows(*tensor.source, unit.row + done, rows, RowOrder::gguf, weights);
    }
    const TimelineScope encoding(output_.timeline(), Activity::compute);
    check_values(tensor, unit.row + done, weights);
    const auto part = encoded.subspan(done * row_size, rows * row_size);
    encode_rows(tensor.type, weights, elems, importance, part);
    protect_rows(tensor, unit.row + done, weights, importance, part);
    if (is_ternary(tensor.type)) ternary_loss_.add(tensor.type, weights, part, elems);
  }
}

void QuantizeRun::publish() {
  context_.comm.together("publish the file", [&] {
    if (!context_.comm.is_root()) return;
    std::size_t tensors = 0;
    for (const fs::path& file : files_.partial) tensors += GgufFile(file).header().tensors.size();
    if (tensors != plan_.tensors.size()) throw InternalError("written files lost tensors");
    publish_files(plan_, files_);
  });
}

void QuantizeRun::discard() noexcept {
  if (!output_.owns_files()) return;
  std::error_code ignored;
  for (const fs::path& file : files_.partial) fs::remove(file, ignored);
}

}  // namespace llmq
