#include "pipeline/protected_rows.hpp"

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/quant/protected.hpp"

namespace llmq {
namespace {

constexpr std::uint64_t kPieceElems = std::uint64_t{1} << 16;  // 256 KiB of f32

/// The weights of rows [row, row + rows).
std::span<const std::uint64_t> weights_between(std::span<const std::uint64_t> weights, std::uint64_t row,
                                               std::uint64_t rows, std::uint64_t row_elems) {
  const auto first = std::lower_bound(weights.begin(), weights.end(), row * row_elems);
  const auto last = std::lower_bound(first, weights.end(), (row + rows) * row_elems);
  return {first, last};
}

}  // namespace

std::uint64_t rows_at_once(const ModelTensor& tensor) noexcept {
  const std::uint64_t rows =
      std::max<std::uint64_t>(1, kPieceElems / std::max<std::uint64_t>(1, tensor.row_elems()));
  if (tensor.permuted_heads == 0) return rows;
  const std::uint64_t head_rows = std::max<std::uint64_t>(1, tensor.rows() / tensor.permuted_heads);
  return std::max<std::uint64_t>(1, rows / head_rows) * head_rows;
}

std::vector<ProtectedPiece> protected_pieces(const ModelTensor& tensor, std::size_t number,
                                             std::span<const std::uint64_t> weights) {
  std::vector<ProtectedPiece> pieces;
  const std::uint64_t elems = tensor.row_elems(), matrix_rows = tensor.ne[1], step = rows_at_once(tensor);
  while (!weights.empty()) {
    const std::uint64_t row = weights.front() / elems;
    const std::uint64_t matrix_row = row / matrix_rows * matrix_rows;
    const std::uint64_t first = matrix_row + (row - matrix_row) / step * step;
    const std::uint64_t rows = std::min(step, matrix_row + matrix_rows - first);
    const auto within = weights_between(weights, first, rows, elems);
    pieces.push_back({number, first, rows, within});
    weights = weights.subspan(within.size());
  }
  return pieces;
}

void protect_rows(const PlannedTensor& tensor, std::uint64_t first_row, std::span<const float> weights,
                  std::span<const float> importance, std::span<std::byte> encoded) {
  if (tensor.protected_weights.empty()) return;
  const std::uint64_t elems = tensor.source->row_elems(), bytes = row_bytes(tensor.type, elems);
  const auto within = weights_between(tensor.protected_weights, first_row, weights.size() / elems, elems);
  for_each_protected_row(within, elems, [&](std::uint64_t row, std::span<const std::uint64_t> columns) {
    const std::uint64_t at = row - first_row;
    if (protect_row(tensor.type, weights.subspan(at * elems, elems), importance, columns,
                    encoded.subspan(at * bytes, bytes)))
      return;
    throw InternalError(fmt::format("tensor {}, row {}: {} does not hold the protected weights it should",
                                    tensor.source->name, row, type_name(tensor.type)));
  });
}

}  // namespace llmq
