#include "llmq/smoothquant/smoothed_source.hpp"

#include <span>

#include "llmq/core/error.hpp"
#include "llmq/core/hash.hpp"

namespace llmq {
namespace {

std::vector<float> inverse(const std::vector<float>& scales) {
  std::vector<float> result;
  for (const float scale : scales) result.push_back(1.0F / scale);
  return result;
}

void multiply(std::vector<float>& into, const std::vector<float>& by) {
  if (into.empty()) into.assign(by.size(), 1.0F);
  if (into.size() != by.size()) throw InternalError("scales of a tensor do not fit");
  for (std::size_t i = 0; i < by.size(); ++i) into[i] *= by[i];
}

}  // namespace

void fold(const SmoothMapping& mapping, const ModelSpec& spec, const std::vector<float>& scales,
          Scalings& scalings) {
  if (scales.size() != mapping.channels) throw InternalError("scales of a mapping do not fit");
  const std::vector<float> divided = inverse(scales);
  if (mapping.kind == FoldKind::norm) {
    multiply(scalings[mapping.source].columns, divided);
    if (spec.norm == Norm::layer) multiply(scalings[bias_of(mapping.source)].columns, divided);
  } else {
    multiply(scalings[mapping.source].rows, divided);
    multiply(scalings[bias_of(mapping.source)].columns, divided);
  }
  const std::uint64_t width =
      mapping.kind == FoldKind::value ? std::uint64_t{spec.n_heads} * spec.head_dim : mapping.channels;
  std::vector<float> columns(width);
  for (std::uint64_t column = 0; column < width; ++column)
    columns[column] = scales[channel_of_column(mapping, spec, column)];
  for (const std::string& weight : mapping.balance) multiply(scalings[weight].columns, columns);
}

void SmoothedSource::read_rows(const ModelTensor& tensor, std::uint64_t row, std::uint64_t count,
                               RowOrder order, std::span<float> out) const {
  source_.read_rows(tensor, row, count, order, out);
  const auto found = scalings_.find(tensor.name);
  if (found == scalings_.end()) return;
  const TensorScaling& scaling = found->second;
  const std::uint64_t width = tensor.row_elems();
  for (std::uint64_t r = 0; r < count; ++r) {
    float* values = out.data() + r * width;
    const float by = scaling.rows.empty() ? 1.0F : scaling.rows.at(row + r);
    if (scaling.columns.empty()) {
      for (std::uint64_t c = 0; c < width; ++c) values[c] *= by;
    } else {
      const float* columns = scaling.columns.data();
      for (std::uint64_t c = 0; c < width; ++c) values[c] *= by * columns[c];
    }
  }
}

std::string SmoothedSource::fingerprint() const {
  Sha256 hash;
  hash.field(source_.fingerprint());
  for (const auto& [name, scaling] : scalings_) {
    hash.field(name);
    for (const std::vector<float>* scales : {&scaling.columns, &scaling.rows}) {
      hash.field(scales->size());
      hash.update(std::as_bytes(std::span(*scales)));
    }
  }
  return hash.hex();
}

}  // namespace llmq
