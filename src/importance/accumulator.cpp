#include "llmq/importance/accumulator.hpp"

#include <algorithm>

#include "llmq/core/error.hpp"

#include "importance/column_sums.hpp"

namespace llmq {

InputAccumulator::InputAccumulator(std::size_t in_features)
    : sum_sq(in_features, 0), sum(in_features, 0), sum_quad(in_features, 0), max_abs(in_features, 0.0F) {}

void InputAccumulator::add_sample(std::span<const float> x) {
  const std::size_t columns = in_features();
  if (columns == 0 || x.size() % columns != 0)
    throw InternalError("add_sample: rows do not fit the accumulator");
  const std::size_t tokens = x.size() / columns;
  for (std::size_t first = 0; first < columns; first += kColumnTile) {
    const std::size_t width = std::min(kColumnTile, columns - first);
    TilePartials tile;
    add_rows_to_tile(x.data() + first, tokens, columns, width, tile);
    for (std::size_t j = 0; j < width; ++j) {
      const std::size_t column = first + j;
      // NaN and Inf reach the square sum, where to_fixed refuses them.
      sum_sq[column] = add_fixed(sum_sq[column], to_fixed(tile.sum_sq[j], kSumFractionBits));
      sum[column] = add_fixed(sum[column], to_fixed(tile.sum[j], kSumFractionBits));
      sum_quad[column] = add_fixed(sum_quad[column], to_fixed(tile.sum_quad[j], kQuadFractionBits));
      max_abs[column] = std::max(max_abs[column], tile.max_abs[j]);
    }
  }
  count += tokens;
}

void InputAccumulator::add(const InputAccumulator& other) {
  if (other.in_features() != in_features()) throw InternalError("accumulators of different inputs");
  add_all_fixed(sum_sq, other.sum_sq);
  add_all_fixed(sum, other.sum);
  add_all_fixed(sum_quad, other.sum_quad);
  for (std::size_t j = 0; j < max_abs.size(); ++j) max_abs[j] = std::max(max_abs[j], other.max_abs[j]);
  count += other.count;
}

void InputAccumulator::clear() { *this = InputAccumulator(in_features()); }

}  // namespace llmq
