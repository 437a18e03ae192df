#include "pipeline/hf_run.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/quant/codec.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kElemsAtOnce = std::uint64_t{1} << 16;  // stays in L2 from reading to encoding
constexpr float kLeastTooLargeForHalf = 65520.0F;

std::vector<OutputFile> output_files(const HfPlan& plan, const fs::path& directory) {
  std::vector<OutputFile> files;
  for (const SafetensorsShard& shard : plan.layout.shards) {
    const auto head = std::as_bytes(std::span(shard.head));
    files.push_back({directory / shard.file_name, shard.file_bytes, {head.begin(), head.end()}});
  }
  return files;
}

/// Rows read at once: whole heads where their rows change places, so that no head is read twice.
std::uint64_t step_of(const ModelTensor& tensor) {
  const std::uint64_t rows = std::max<std::uint64_t>(1, kElemsAtOnce / tensor.row_elems());
  if (tensor.permuted_heads == 0 || tensor.n_dims == 1) return rows;
  const std::uint64_t head = tensor.rows() / tensor.permuted_heads;
  return std::max(head, rows / head * head);
}

}  // namespace

HfRun::HfRun(const StageContext& context, const ModelSource& source, const HfPlan& plan,
             const JobDirectory& job, fs::path partial)
    : context_(context),
      source_(source),
      plan_(plan),
      partial_(std::move(partial)),
      output_(context, output_files(plan, partial_), plan.outputs, job, Assembly::shared) {}

void HfRun::execute() {
  std::vector<std::vector<float>> values(context_.threads);
  output_.execute([&](std::uint32_t unit, std::size_t worker,
                      std::span<std::byte> bytes) { make_unit(unit, values[worker], bytes); },
                  "Converting", source_.spec().n_layers);
}

void HfRun::check_values(const HfPlannedTensor& tensor, std::uint64_t first_row,
                         const std::vector<float>& values) const {
  const std::uint64_t width = tensor.tensor.source->row_elems();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const bool fits = tensor.dtype != DType::F16 || !(std::fabs(values[i]) >= kLeastTooLargeForHalf);
    const bool finite = std::isfinite(values[i]);
    if (finite && fits) continue;
    throw Error(ExitCode::validation,
                fmt::format("tensor {} ({}), row {}, column {}: {} {}", tensor.tensor.source->name,
                            tensor.tensor.name, first_row + i / width, i % width, values[i],
                            finite ? "does not fit F16" : "is not a finite weight"),
                finite ? "Convert with -q BF16 or -q F32" : "The file is damaged; fetch it again");
  }
}

void HfRun::make_unit(std::uint32_t index, std::vector<float>& values, std::span<std::byte> bytes) {
  const HfUnit& unit = plan_.units[index];
  const HfPlannedTensor& tensor = plan_.tensors[unit.tensor];
  const ModelTensor& source = *tensor.tensor.source;
  const std::uint64_t width = source.row_elems(), row_size = width * dtype_bytes(tensor.dtype);
  const std::uint64_t step = step_of(source);
  for (std::uint64_t done = 0; done < unit.rows; done += step) {
    const std::uint64_t rows = std::min(step, unit.rows - done);
    values.resize(rows * width);
    {
      const TimelineScope reading(output_.timeline(), Activity::read);
      source_.read_rows(source, unit.row + done, rows, RowOrder::hugging_face, values);
    }
    const TimelineScope encoding(output_.timeline(), Activity::compute);
    if (tensor.tensor.offset != 0) {
      for (float& value : values) value -= tensor.tensor.offset;
    }
    check_values(tensor, unit.row + done, values);
    encode_rows(block_type_of(tensor.dtype), values, width, {},
                bytes.subspan(done * row_size, rows * row_size));
  }
}

std::string HfRun::publish(const NamedTexts& files, const fs::path& output) {
  std::set<std::string> ours;
  for (const SafetensorsShard& shard : plan_.layout.shards) ours.insert(shard.file_name);
  for (const auto& entry : fs::directory_iterator(partial_)) {
    if (!ours.contains(entry.path().filename().string())) fs::remove_all(entry.path());
  }
  for (const auto& [name, text] : files) write_file_atomically(partial_ / name, text);
  const std::unique_ptr<ModelSource> written = open_model(partial_);
  for (const HfPlannedTensor& tensor : plan_.tensors) {
    const ModelTensor* found = written->find(tensor.tensor.source->name);
    if (found == nullptr || found->source_name != tensor.tensor.name)
      throw InternalError(fmt::format("the written directory has no {}", tensor.tensor.name));
  }
  const std::string lacking = tokenizer_difference(partial_, source_.vocabulary());
  if (!lacking.empty()) fs::remove(partial_ / "tokenizer.model");
  publish_directory(partial_, output);
  return lacking;
}

void HfRun::discard() noexcept {
  if (!output_.owns_files()) return;
  std::error_code ignored;
  fs::remove_all(partial_, ignored);
}

}  // namespace llmq
