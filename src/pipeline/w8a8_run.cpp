#include "pipeline/w8a8_run.hpp"

#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/quant/codec.hpp"
#include "llmq/smoothquant/int8_source.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

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
  scratch.weights.resize(unit.rows * tensor.source->row_elems());
  {
    const TimelineScope reading(output_.timeline(), Activity::read);
    smoothed_.read_rows(*tensor.source, unit.row, unit.rows, RowOrder::hugging_face, scratch.weights);
  }
  const TimelineScope encoding(output_.timeline(), Activity::compute);
  if (tensor.coded()) return code_rows(tensor, unit, scratch, bytes);
  copy_rows(tensor, unit, scratch.weights, bytes);
}

void W8a8Run::code_rows(const W8a8Tensor& tensor, const W8a8Unit& unit, Scratch& scratch,
                        std::span<std::byte> bytes) {
  encode_weights(*tensor.source, unit.row, scratch.weights, scratch.rows);
  const auto put = [&](std::span<const std::byte> part) {
    std::memcpy(bytes.data(), part.data(), part.size());
    bytes = bytes.subspan(part.size());
  };
  put(std::as_bytes(std::span(scratch.rows.codes)));
  put(std::as_bytes(std::span(scratch.rows.scales)));
  if (bytes.empty()) return;
  put(std::as_bytes(std::span(&model_.input_scales.at(tensor.source->name), 1)));
}

void W8a8Run::copy_rows(const W8a8Tensor& tensor, const W8a8Unit& unit, const std::vector<float>& values,
                        std::span<std::byte> bytes) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const bool fits = tensor.dtype != DType::F16 || std::fabs(values[i]) < 65520.0F;
    if (std::isfinite(values[i]) && fits) continue;
    const std::uint64_t width = tensor.source->row_elems();
    throw Error(
        ExitCode::validation,
        fmt::format("tensor {}, row {}, column {}: {} {}", tensor.source->source_name, unit.row + i / width,
                    i % width, values[i], fits ? "is not a finite weight" : "does not fit F16"),
        fits ? "The checkpoint is damaged; fetch it again" : "Keep it as BF16 or F32");
  }
  encode_rows(block_type_of(tensor.dtype), values, tensor.source->row_elems(), {}, bytes);
}

void W8a8Run::discard() noexcept {
  if (!output_.owns_files()) return;
  std::error_code ignored;
  fs::remove_all(partial_, ignored);
}

}  // namespace llmq
