#include "pipeline/hf_run.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "llmq/core/error.hpp"

#include "pipeline/safetensors_directory.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kElemsAtOnce = std::uint64_t{1} << 16;  // stays in L2 from reading to encoding

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
      output_(context, output_files(plan.layout, partial_), plan.outputs, job, Assembly::shared) {}

void HfRun::execute() {
  std::vector<std::vector<float>> values(context_.threads);
  output_.execute([&](std::uint32_t unit, std::size_t worker,
                      std::span<std::byte> bytes) { make_unit(unit, values[worker], bytes); },
                  "Converting", source_.spec().n_layers);
}

void HfRun::make_unit(std::uint32_t index, std::vector<float>& values, std::span<std::byte> bytes) {
  const HfUnit& unit = plan_.units[index];
  const HfPlannedTensor& tensor = plan_.tensors[unit.tensor];
  const ModelTensor& source = *tensor.tensor.source;
  const std::uint64_t width = source.row_elems(), row_size = width * dtype_bytes(tensor.dtype);
  const std::uint64_t step = step_of(source);
  const std::string name = fmt::format("{} ({})", source.name, tensor.tensor.name);
  for (std::uint64_t done = 0; done < unit.rows; done += step) {
    const std::uint64_t rows = std::min(step, unit.rows - done);
    values.resize(rows * width);
    {
      const TimelineScope reading(output_.timeline(), Activity::read);
      source_.read_rows(source, unit.row + done, rows, RowOrder::hugging_face, values);
    }
    const TimelineScope encoding(output_.timeline(), Activity::compute);
    const PlainRows plain{
        name, tensor.dtype, tensor.tensor.offset, unit.row + done, width, "Convert with -q BF16 or -q F32"};
    encode_plain_rows(plain, values, bytes.subspan(done * row_size, rows * row_size));
  }
}

std::string HfRun::publish(const NamedTexts& files, const fs::path& output) {
  complete_directory(partial_, plan_.layout, files);
  const std::unique_ptr<ModelSource> written = open_model(partial_);
  for (const HfPlannedTensor& tensor : plan_.tensors) {
    const ModelTensor* found = written->find(tensor.tensor.source->name);
    if (found == nullptr || name_of_expert(found->source_name, tensor.tensor.expert) != tensor.tensor.name)
      throw InternalError(fmt::format("the written directory has no {}", tensor.tensor.name));
  }
  const std::string lacking = tokenizer_difference(partial_, source_.vocabulary());
  if (!lacking.empty()) remove_tokenizer(partial_);
  publish_directory(partial_, output);
  return lacking;
}

}  // namespace llmq
