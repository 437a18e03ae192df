#include "pipeline/super_weight_lora.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <span>

#include "llmq/core/file.hpp"

namespace llmq {
namespace {

/// Where a flat index is: matrix, row in it, column.
struct Place {
  Place(const ModelTensor& tensor, std::uint64_t index) noexcept
      : matrix(index / tensor.row_elems() / tensor.ne[1]),
        row(index / tensor.row_elems() % tensor.ne[1]),
        column(index % tensor.row_elems()) {}
  std::uint64_t matrix, row, column;
};

/// Numbers of the distinct rows (or columns) of each matrix, in ascending order.
class Slots {
 public:
  Slots(const ModelTensor& tensor, std::span<const std::uint64_t> weights, bool by_rows)
      : matrices_(tensor.ne[2] * tensor.ne[3]) {
    for (const std::uint64_t index : weights) {
      const Place place(tensor, index);
      matrices_[place.matrix].emplace(by_rows ? place.row : place.column, 0);
    }
    for (auto& matrix : matrices_) {
      std::uint64_t next = 0;
      for (auto& [channel, slot] : matrix) slot = next++;
      rank_ = std::max(rank_, next);
    }
  }
  std::uint64_t rank() const noexcept { return rank_; }
  const std::map<std::uint64_t, std::uint64_t>& of_matrix(std::uint64_t matrix) const {
    return matrices_[matrix];
  }

 private:
  std::vector<std::map<std::uint64_t, std::uint64_t>> matrices_;
  std::uint64_t rank_ = 0;
};

GgufTensorInfo factor(const ModelTensor& tensor, const char* suffix, std::uint64_t ne0, std::uint64_t ne1) {
  GgufTensorInfo info;
  info.name = tensor.name + suffix;
  info.n_dims = tensor.n_dims;
  info.ne = {ne0, ne1, tensor.ne[2], tensor.ne[3]};
  info.type = GgmlType::F32;
  return info;
}

/// Both factors of one tensor.
struct Values {
  std::vector<float> a, b;
};
Values fill(const ModelTensor& tensor, const LoraPlan::Factors& factors,
            std::span<const std::uint64_t> weights, std::span<const MeasuredWeight> measured) {
  const std::uint64_t in = tensor.ne[0], out = tensor.ne[1], rank = factors.rank;
  const std::uint64_t matrices = tensor.ne[2] * tensor.ne[3];
  Values values{std::vector<float>(matrices * rank * in), std::vector<float>(matrices * out * rank)};
  const Slots slots(tensor, weights, factors.by_rows);
  for (std::uint64_t m = 0; m < matrices; ++m) {
    for (const auto& [channel, slot] : slots.of_matrix(m)) {
      if (factors.by_rows) {
        values.b[(m * out + channel) * rank + slot] = 1;
      } else {
        values.a[(m * rank + slot) * in + channel] = 1;
      }
    }
  }
  for (const MeasuredWeight& one : measured) {
    const Place place(tensor, one.index);
    const std::uint64_t slot = slots.of_matrix(place.matrix).at(factors.by_rows ? place.row : place.column);
    const float difference = one.weight - one.decoded;
    if (factors.by_rows) {
      values.a[(place.matrix * rank + slot) * in + place.column] = difference;
    } else {
      values.b[(place.matrix * out + place.row) * rank + slot] = difference;
    }
  }
  return values;
}

}  // namespace

LoraPlan plan_lora(const std::string& architecture, const QuantizePlan& plan) {
  LoraPlan lora;
  GgufMetadata& metadata = lora.header.metadata;
  metadata.set("general.type", std::string("adapter"));
  metadata.set("general.architecture", architecture);
  metadata.set("general.file_type", std::uint32_t{0});
  metadata.set("adapter.type", std::string("lora"));
  metadata.set("adapter.lora.alpha", 0.0F);  // the factors' product as it is, whatever their rank
  metadata.set("llm_quantize.version", std::string(LLMQ_VERSION));
  for (std::uint32_t t = 0; t < plan.tensors.size(); ++t) {
    const PlannedTensor& tensor = plan.tensors[t];
    const ModelTensor& shape = *tensor.source;
    if (tensor.protected_weights.empty() || shape.name == "token_embd.weight") continue;
    const std::uint64_t rows = Slots(shape, tensor.protected_weights, true).rank();
    const std::uint64_t columns = Slots(shape, tensor.protected_weights, false).rank();
    lora.factors.push_back({t, rows <= columns, std::min(rows, columns)});
    lora.header.tensors.push_back(factor(shape, ".lora_a", shape.ne[0], lora.factors.back().rank));
    lora.header.tensors.push_back(factor(shape, ".lora_b", lora.factors.back().rank, shape.ne[1]));
  }
  lora.file_bytes = plan_gguf(lora.header);
  return lora;
}

void write_lora(const LoraPlan& lora, const QuantizePlan& plan, const std::vector<MeasuredWeight>& measured,
                const std::filesystem::path& path) {
  std::filesystem::path partial = path;
  partial += ".partial";
  try {
    File file(partial, File::Mode::create);
    file.truncate(0);
    file.preallocate(lora.file_bytes);
    file.write_at(encode_gguf_head(lora.header), 0);
    for (std::size_t i = 0; i < lora.factors.size(); ++i) {
      const LoraPlan::Factors& factors = lora.factors[i];
      const PlannedTensor& tensor = plan.tensors[factors.tensor];
      const auto [first, last] = std::equal_range(
          measured.begin(), measured.end(), MeasuredWeight{factors.tensor, 0, 0, 0},
          [](const MeasuredWeight& a, const MeasuredWeight& b) { return a.tensor < b.tensor; });
      const Values values = fill(*tensor.source, factors, tensor.protected_weights, {first, last});
      const std::uint64_t start = lora.header.data_start;
      file.write_at(std::as_bytes(std::span(values.a)), start + lora.header.tensors[2 * i].offset_bytes);
      file.write_at(std::as_bytes(std::span(values.b)), start + lora.header.tensors[2 * i + 1].offset_bytes);
    }
    file.sync();
    publish_file(partial, path);
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove(partial, ignored);
    throw;
  }
}

}  // namespace llmq
