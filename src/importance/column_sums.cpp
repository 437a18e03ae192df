#include "importance/column_sums.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "importance/column_sums.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace llmq::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// One vector of columns over `rows` rows. The three sums are loaded and stored once for several rows: a row
/// at a time, the seven memory accesses would cost more than the six operations between them.
template <class D>
HWY_INLINE void add_columns(D d, const float* x, std::size_t rows, std::size_t stride, std::size_t column,
                            TilePartials& tile) {
  const hn::Rebind<float, D> narrow;
  auto sum = hn::LoadU(d, &tile.sum[column]);
  auto sum_sq = hn::LoadU(d, &tile.sum_sq[column]);
  auto sum_quad = hn::LoadU(d, &tile.sum_quad[column]);
  auto max_abs = hn::LoadU(narrow, &tile.max_abs[column]);
  for (std::size_t row = 0; row < rows; ++row) {
    const auto stored = hn::LoadU(narrow, x + row * stride + column);
    const auto value = hn::PromoteTo(d, stored);
    const auto square = hn::Mul(value, value);
    sum = hn::Add(sum, value);
    sum_sq = hn::Add(sum_sq, square);
    sum_quad = hn::Add(sum_quad, hn::Mul(square, square));  // not MulAdd: fused on some targets only
    max_abs = hn::Max(max_abs, hn::Abs(stored));
  }
  hn::StoreU(sum, d, &tile.sum[column]);
  hn::StoreU(sum_sq, d, &tile.sum_sq[column]);
  hn::StoreU(sum_quad, d, &tile.sum_quad[column]);
  hn::StoreU(max_abs, narrow, &tile.max_abs[column]);
}

void add_rows_to_tile(const float* x, std::size_t tokens, std::size_t stride, std::size_t width,
                      TilePartials& tile) {
  constexpr std::size_t kRowsAtOnce = 8;
  const hn::ScalableTag<double> wide;
  const hn::CappedTag<double, 1> single;
  const std::size_t lanes = hn::Lanes(wide);
  for (std::size_t token = 0; token < tokens; token += kRowsAtOnce) {
    const std::size_t rows = tokens - token < kRowsAtOnce ? tokens - token : kRowsAtOnce;
    const float* block = x + token * stride;
    std::size_t column = 0;
    if (rows == kRowsAtOnce) {  // a constant count: the loop over rows unrolls
      for (; column + lanes <= width; column += lanes)
        add_columns(wide, block, kRowsAtOnce, stride, column, tile);
    } else {
      for (; column + lanes <= width; column += lanes) add_columns(wide, block, rows, stride, column, tile);
    }
    for (; column < width; ++column) add_columns(single, block, rows, stride, column, tile);
  }
}

}  // namespace llmq::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace llmq {
namespace {
HWY_EXPORT(add_rows_to_tile);
}

void add_rows_to_tile(const float* x, std::size_t tokens, std::size_t stride, std::size_t width,
                      TilePartials& tile) noexcept {
  HWY_DYNAMIC_DISPATCH(add_rows_to_tile)(x, tokens, stride, width, tile);
}

}  // namespace llmq
#endif
