#include "llmq/model/requantized_source.hpp"

#include <algorithm>

#include "llmq/core/hash.hpp"
#include "llmq/core/parallel.hpp"
#include "llmq/quant/codec.hpp"

namespace llmq {
namespace {

constexpr std::uint64_t kPieceElems = std::uint64_t{1} << 16;

}  // namespace

void RequantizedSource::read_rows(const ModelTensor& tensor, std::uint64_t row, std::uint64_t count,
                                  RowOrder order, std::span<float> out) const {
  source_.read_rows(tensor, row, count, order, out);
  const auto change = changes_.find(tensor.name);
  if (change == changes_.end()) return;
  const auto& [type, importance] = change->second;
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
      encode_rows(type, weights, elems,
                  importance == nullptr || importance->empty()
                      ? std::span<const float>()
                      : std::span<const float>((*importance)[matrix]),
                  encoded[worker]);
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
    if (change.importance == nullptr) continue;
    for (const std::vector<float>& values : *change.importance) hash.update(std::as_bytes(std::span(values)));
  }
  return hash.hex();
}

}  // namespace llmq
