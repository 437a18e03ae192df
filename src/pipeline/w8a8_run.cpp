#include "pipeline/w8a8_run.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/quant/codec.hpp"
#include "llmq/smoothquant/int8_source.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kElemsAtOnce = std::uint64_t{1} << 16;  // stays in L2 from reading to encoding

std::vector<OutputFile> output_files(const W8a8Plan& plan, const fs::path& directory) {
  std::vector<OutputFile> files;
  for (const SafetensorsShard& shard : plan.layout.shards) {
    const auto head = std::as_bytes(std::span(shard.head));
    files.push_back({directory / shard.file_name, shard.file_bytes, {head.begin(), head.end()}});
  }
  return files;
}

GgmlType block_type_of(DType type) {
  return type == DType::BF16 ? GgmlType::BF16 : type == DType::F16 ? GgmlType::F16 : GgmlType::F32;
}

template <class Value>
void put(const std::vector<Value>& values, std::span<std::byte> out) {
  std::memcpy(out.data(), values.data(), values.size() * sizeof(Value));
}

}  // namespace

W8a8Run::W8a8Run(const StageContext& context, const ModelSource& source, const SmoothedModel& smoothed,
                 const W8a8Plan& plan, const JobDirectory& job, fs::path partial, Assembly assembly)
    : context_(context),
      plan_(plan),
      model_(smoothed),
      smoothed_(source, smoothed.scalings),
      partial_(std::move(partial)),
      output_(context, output_files(plan, partial_), plan.outputs, job, assembly) {}

void W8a8Run::execute() {
  std::vector<Scratch> scratch(context_.threads);
  output_.execute([&](std::uint32_t unit, std::size_t worker,
                      std::span<std::byte> bytes) { make_unit(unit, scratch[worker], bytes); },
                  "Quantizing", smoothed_.spec().n_layers);
}

void W8a8Run::make_unit(std::uint32_t index, Scratch& scratch, std::span<std::byte> bytes) {
  const W8a8Unit& unit = plan_.units[index];
  const W8a8Tensor& tensor = plan_.tensors[unit.tensor];
  const std::uint64_t width = tensor.source->row_elems();
  const std::uint64_t step = std::max<std::uint64_t>(1, kElemsAtOnce / width);
  const std::uint64_t value_bytes = unit.rows * width * dtype_bytes(tensor.dtype);
  for (std::uint64_t done = 0; done < unit.rows; done += step) {
    const std::uint64_t rows = std::min(step, unit.rows - done), row = unit.row + done;
    scratch.weights.resize(rows * width);
    {
      const TimelineScope reading(output_.timeline(), Activity::read);
      smoothed_.read_rows(*tensor.source, row, rows, RowOrder::hugging_face, scratch.weights);
    }
    const TimelineScope encoding(output_.timeline(), Activity::compute);
    const auto values = bytes.subspan(done * width * dtype_bytes(tensor.dtype));
    if (!tensor.coded()) {
      for (float& value :
           std::span(scratch.weights).first(tensor.source->offset == 0 ? 0 : scratch.weights.size()))
        value -= tensor.source->offset;
      copy_rows(tensor, row, scratch.weights, values);
      continue;
    }
    encode_weights(*tensor.source, row, scratch.weights, scratch.rows);
    put(scratch.rows.codes, values);
    put(scratch.rows.scales, bytes.subspan(value_bytes + done * sizeof(float)));
  }
  if (tensor.input_scale && unit.row == 0)
    put(std::vector<float>{model_.input_scales.at(tensor.source->name)}, bytes.last(sizeof(float)));
}

void W8a8Run::copy_rows(const W8a8Tensor& tensor, std::uint64_t first_row, const std::vector<float>& values,
                        std::span<std::byte> out) const {
  const std::uint64_t width = tensor.source->row_elems();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const bool fits = tensor.dtype != DType::F16 || std::fabs(values[i]) < 65520.0F;
    if (std::isfinite(values[i]) && fits) continue;
    throw Error(
        ExitCode::validation,
        fmt::format("tensor {}, row {}, column {}: {} {}", tensor.source->source_name, first_row + i / width,
                    i % width, values[i], fits ? "is not a finite weight" : "does not fit F16"),
        fits ? "The checkpoint is damaged; fetch it again" : "Keep it as BF16 or F32");
  }
  const std::size_t size = values.size() * dtype_bytes(tensor.dtype);
  encode_rows(block_type_of(tensor.dtype), values, width, {}, out.first(size));
}

void W8a8Run::discard() noexcept {
  if (!output_.owns_files()) return;
  std::error_code ignored;
  fs::remove_all(partial_, ignored);
}

}  // namespace llmq
