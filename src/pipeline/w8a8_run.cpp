#include "pipeline/w8a8_run.hpp"

#include <algorithm>
#include <cstring>

#include "llmq/smoothquant/int8_source.hpp"

#include "pipeline/safetensors_directory.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kElemsAtOnce = std::uint64_t{1} << 16;  // stays in L2 from reading to encoding

template <class Value>
void put(const std::vector<Value>& values, std::span<std::byte> out) {
  std::memcpy(out.data(), values.data(), values.size() * sizeof(Value));
}

}  // namespace

W8a8Run::W8a8Run(const StageContext& context, const ModelSource& source, const SmoothedModel& smoothed,
                 const W8a8Plan& plan, const JobDirectory& job, const fs::path& partial, Assembly assembly)
    : context_(context),
      plan_(plan),
      model_(smoothed),
      smoothed_(source, smoothed.scalings),
      output_(context, output_files(plan.layout, partial), plan.outputs, job, assembly) {}

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
      const PlainRows plain{tensor.source->source_name, tensor.dtype, tensor.source->offset, row, width,
                            "Keep it as BF16 or F32"};
      encode_plain_rows(plain, scratch.weights, values.first(rows * width * dtype_bytes(tensor.dtype)));
      continue;
    }
    encode_weights(*tensor.source, row, scratch.weights, scratch.rows);
    put(scratch.rows.codes, values);
    put(scratch.rows.scales, bytes.subspan(value_bytes + done * sizeof(float)));
  }
  if (tensor.input_scale && unit.row == 0)
    put(std::vector<float>{model_.input_scales.at(tensor.source->name)}, bytes.last(sizeof(float)));
}

}  // namespace llmq
