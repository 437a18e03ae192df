#include "llmq/quant/protected.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "llmq/core/error.hpp"
#include "llmq/quant/codec.hpp"

#include "quant/protected/families.hpp"

namespace llmq {
namespace {

const held::HeldEncoder* find_encoder(GgmlType type) noexcept {
  for (const auto& find : {&held::find_signed, &held::find_affine, &held::find_grid}) {
    if (const held::HeldEncoder* encoder = find(type)) return encoder;
  }
  return nullptr;
}

bool all_held(std::span<const float> row, std::span<const float> decoded, std::size_t first,
              std::span<const std::uint64_t> columns) noexcept {
  for (const std::uint64_t column : columns) {
    if (!is_held(row[column], decoded[column - first])) return false;
  }
  return true;
}

/// Several weights may be held at the price of all others: beyond this factor of their error a type that has
/// more levels is the better way.
constexpr float kLargestLoss = 4;

float rest_error(const held::HeldBlock& block, std::span<const float> decoded) noexcept {
  float error = 0;
  for (std::size_t i = 0; i < block.elems; ++i) {
    const float difference = decoded[i] - block.x[i];
    error += block.rest[i] * (difference * difference);
  }
  return error;
}

/// Encoders undo a part of the shrinking of least squares (docs/formats/blocks.md, "Shrinking"): the weights
/// that are not held are made larger until a least-squares fit as good as `decoded` has its sum w x y.
void undo_shrinking(std::span<const float> decoded, held::HeldBlock& block) noexcept {
  constexpr float kMost = 1.5F;
  float cross = 0, square = 0;
  for (std::size_t i = 0; i < block.elems; ++i) {
    cross += block.rest[i] * (block.x[i] * decoded[i]);
    square += block.rest[i] * (block.x[i] * block.x[i]);
  }
  const float factor = (cross + rest_error(block, decoded)) / square;
  if (!(factor > 1)) return;  // also what is no number
  for (std::size_t i = 0; i < block.elems; ++i) {
    if (!block.is_held[i]) block.x[i] *= std::min(factor, kMost);
  }
}

held::HeldBlock make_block(const held::HeldEncoder& encoder, std::span<const float> row,
                           std::span<const float> importance, std::size_t first, std::size_t elems,
                           std::span<const std::uint64_t> columns) {
  held::HeldBlock block;
  block.elems = elems;
  const auto x = row.subspan(first, elems);
  std::copy(x.begin(), x.end(), block.x.begin());
  float sigma2 = 0;
  if (encoder.objective.spread == Spread::row) sigma2 = importance.empty() ? 0 : mean_square(row);
  if (encoder.objective.spread == Spread::super_block || encoder.objective.spread == Spread::group)
    sigma2 = mean_square(x);
  for (std::size_t at = 0; at < elems; at += encoder.group) {
    weigh_group(encoder.objective, x.subspan(at, encoder.group),
                importance_of(importance, first + at, encoder.group), sigma2,
                std::span(block.weights).subspan(at, encoder.group));
  }
  block.rest = block.weights;
  for (const std::uint64_t column : columns) {
    block.is_held[column - first] = true;
    block.rest[column - first] = 0;
  }
  return block;
}

/// Calls visit(first weight, columns) for every block with protected columns until it says false.
template <class Visit>
bool for_each_block(GgmlType type, std::span<const float> row, std::span<const std::uint64_t> columns,
                    const Visit& visit) {
  if (!columns.empty() && columns.back() >= row.size())
    throw InternalError("a protected column outside its row");
  const std::size_t elems = block_type(type).block_elems;
  for (std::size_t begin = 0; begin < columns.size();) {
    const std::size_t index = columns[begin] / elems;
    std::size_t end = begin;
    while (end < columns.size() && columns[end] / elems == index) ++end;
    if (!visit(index * elems, columns.subspan(begin, end - begin))) return false;
    begin = end;
  }
  return true;
}

class RowProtection {
 public:
  RowProtection(GgmlType type, std::span<const float> row, std::span<const float> importance)
      : type_(type), row_(row), importance_(importance), encoder_(find_encoder(type)) {}

  /// The block that begins with weight `first` is replaced if it does not hold `columns` as it is.
  bool protect(std::size_t first, std::span<const std::uint64_t> columns,
               std::span<std::byte> encoded) const {
    const std::size_t elems = block_type(type_).block_elems;
    std::vector<float> decoded(elems);
    decode_rows(type_, encoded, elems, decoded);
    if (all_held(row_, decoded, first, columns)) return true;
    if (encoder_ == nullptr) return false;
    const held::HeldBlock block = make_block(*encoder_, row_, importance_, first, elems, columns);
    held::HeldBlock target = block;
    undo_shrinking(decoded, target);
    std::vector<std::byte> tried(encoded.size());
    if (!encoder_->encode(target, tried)) return false;
    const float before = rest_error(block, decoded);
    decode_rows(type_, tried, elems, decoded);
    if (!all_held(row_, decoded, first, columns)) return false;
    if (columns.size() > 1 && rest_error(block, decoded) > kLargestLoss * before) return false;
    std::copy(tried.begin(), tried.end(), encoded.begin());
    return true;
  }

 private:
  GgmlType type_;
  std::span<const float> row_, importance_;
  const held::HeldEncoder* encoder_;
};

}  // namespace

double relative_error(float weight, float decoded) noexcept {
  if (weight == decoded) return 0;
  const double difference = std::fabs(static_cast<double>(decoded) - static_cast<double>(weight));
  return difference / std::fabs(static_cast<double>(weight));  // infinity for a weight of zero
}

bool protect_row(GgmlType type, std::span<const float> row, std::span<const float> importance,
                 std::span<const std::uint64_t> columns, std::span<std::byte> encoded) {
  const RowProtection protection(type, row, importance);
  return for_each_block(type, row, columns, [&](std::size_t first, auto of_block) {
    const std::size_t bytes = block_type(type).block_bytes;
    return protection.protect(first, of_block,
                              encoded.subspan(first / block_type(type).block_elems * bytes, bytes));
  });
}

bool can_protect_row(GgmlType type, std::span<const float> row, std::span<const float> importance,
                     std::span<const std::uint64_t> columns) {
  const held::HeldEncoder* encoder = find_encoder(type);
  if (encoder == nullptr || encoder->objective.spread == Spread::row) {
    std::vector<std::byte> encoded(row_bytes(type, row.size()));
    encode_rows(type, row, row.size(), importance, encoded);
    return protect_row(type, row, importance, columns, encoded);
  }
  // A block is encoded as if it were alone.
  const RowProtection protection(type, row, importance);
  const std::size_t elems = block_type(type).block_elems;
  std::vector<std::byte> encoded(block_type(type).block_bytes);
  return for_each_block(type, row, columns, [&](std::size_t first, auto of_block) {
    encode_rows(type, row.subspan(first, elems), elems, importance_of(importance, first, elems), encoded);
    return protection.protect(first, of_block, encoded);
  });
}

std::vector<std::uint64_t> protected_columns(std::span<const std::uint64_t> weights, std::uint64_t row,
                                             std::uint64_t row_elems) {
  std::vector<std::uint64_t> columns;
  for (auto at = std::lower_bound(weights.begin(), weights.end(), row * row_elems);
       at != weights.end() && *at < (row + 1) * row_elems; ++at)
    columns.push_back(*at % row_elems);
  return columns;
}

}  // namespace llmq
