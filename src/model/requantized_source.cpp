#include "llmq/model/requantized_source.hpp"

#include <algorithm>

#include "llmq/core/hash.hpp"
#include "llmq/core/parallel.hpp"
#include "llmq/quant/codec.hpp"
#include "llmq/quant/protected.hpp"

#include "model/row_permutation.hpp"

namespace llmq {
namespace {

constexpr std::uint64_t kPieceElems = std::uint64_t{1} << 16;

/// Where a row stands in GGUF's order.
std::uint64_t gguf_row(const ModelTensor& tensor, std::uint64_t row, RowOrder order) {
  if (order == RowOrder::gguf || tensor.permuted_heads == 0) return row;
  const std::uint64_t head = tensor.rows() / tensor.permuted_heads;
  return row / head * head + hf_row_to_gguf(row % head, head / 2);
}

/// Rows from `first_row` on, encoded: makes them hold their protected weights.
void protect(const Requantization& wanted, const ModelTensor& tensor, std::uint64_t first_row, RowOrder order,
             std::span<const float> weights, std::span<const float> importance,
             std::span<std::byte> encoded) {
  const std::uint64_t elems = tensor.row_elems();
  const std::uint64_t bytes = row_bytes(wanted.type, elems);
  for (std::uint64_t i = 0; i < weights.size() / elems; ++i) {
    const auto columns =
        protected_columns(*wanted.protected_weights, gguf_row(tensor, first_row + i, order), elems);
    if (!columns.empty())
      protect_row(wanted.type, weights.subspan(i * elems, elems), importance, columns,
                  encoded.subspan(i * bytes, bytes));
  }
}

}  // namespace

void RequantizedSource::read_rows(const ModelTensor& tensor, std::uint64_t row, std::uint64_t count,
                                  RowOrder order, std::span<float> out) const {
  source_.read_rows(tensor, row, count, order, out);
  const auto change = changes_.find(tensor.name);
  if (change == changes_.end()) return;
  const Requantization& wanted = change->second;
  const GgmlType type = wanted.type;
  const auto* importance = wanted.importance;
  const std::uint64_t elems = tensor.row_elems();
  const std::uint64_t step = std::max<std::uint64_t>(1, kPieceElems / elems);
  std::vector<std::vector<std::byte>> encoded(threads_);
  parallel_for((count + step - 1) / step, threads_, [&](std::size_t piece, std::size_t worker) {
    const std::uint64_t end = std::min(count, (piece + 1) * step);
    for (std::uint64_t at = piece * step; at < end;) {
      // Rows of one matrix share their importance.
      const std::uint64_t matrix = (row + at) / tensor.ne[1];
      const std::uint64_t rows = std::min(end, (matrix + 1) * tensor.ne[1] - row) - at;
      const std::span<float> weights = out.subspan(at * elems, rows * elems);
      encoded[worker].resize(rows * row_bytes(type, elems));
      const std::span<const float> columns = importance == nullptr || importance->empty()
                                                 ? std::span<const float>()
                                                 : std::span<const float>((*importance)[matrix]);
      encode_rows(type, weights, elems, columns, encoded[worker]);
      if (wanted.protected_weights != nullptr)
        protect(wanted, tensor, row + at, order, weights, columns, encoded[worker]);
      decode_rows(type, encoded[worker], elems, weights);
      at += rows;
    }
  });
}

std::string RequantizedSource::fingerprint() const {
  Sha256 hash;
  hash.field(source_.fingerprint());
  for (const auto& [name, change] : changes_) {
    hash.field(name).field(type_name(change.type));
    if (change.protected_weights != nullptr) hash.update(std::as_bytes(std::span(*change.protected_weights)));
    if (change.importance == nullptr) continue;
    for (const std::vector<float>& values : *change.importance) hash.update(std::as_bytes(std::span(values)));
  }
  return hash.hex();
}

}  // namespace llmq
