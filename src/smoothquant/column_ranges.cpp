#include "llmq/smoothquant/column_ranges.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "smoothquant/column_ranges.cpp"
#include <cstddef>

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "llmq/core/error.hpp"

HWY_BEFORE_NAMESPACE();
namespace llmq::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// One vector of columns over `rows` rows.
template <class D>
HWY_INLINE void add_columns(D d, const float* x, std::size_t rows, std::size_t width, float* largest,
                            float* squares) {
  auto top = hn::LoadU(d, largest), sum = hn::LoadU(d, squares);
  for (std::size_t row = 0; row < rows; ++row) {
    const auto value = hn::LoadU(d, x + row * width);
    top = hn::Max(top, hn::Abs(value));
    sum = hn::Add(sum, hn::Mul(value, value));  // not MulAdd: fused on some targets only
  }
  hn::StoreU(top, d, largest);
  hn::StoreU(sum, d, squares);
}

void add_block(const float* x, std::size_t rows, std::size_t width, float* largest, float* squares) {
  const hn::ScalableTag<float> wide;
  const hn::CappedTag<float, 1> single;
  const std::size_t lanes = hn::Lanes(wide);
  std::size_t column = 0;
  for (; column + lanes <= width; column += lanes)
    add_columns(wide, x + column, rows, width, largest + column, squares + column);
  for (; column < width; ++column)
    add_columns(single, x + column, rows, width, largest + column, squares + column);
}

}  // namespace llmq::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace llmq {
namespace {
HWY_EXPORT(add_block);
}  // namespace

void add_rows(std::span<const float> rows, WeightColumns& columns) {
  constexpr std::size_t kRowsAtOnce = 16;  // sums are loaded and stored once for these
  const std::size_t width = columns.largest.size();
  if (columns.squares.size() != width || width == 0 || rows.size() % width != 0)
    throw InternalError("add_rows: sizes do not fit");
  const std::size_t count = rows.size() / width;
  for (std::size_t row = 0; row < count; row += kRowsAtOnce) {
    const std::size_t block = count - row < kRowsAtOnce ? count - row : kRowsAtOnce;
    HWY_DYNAMIC_DISPATCH(add_block)
    (rows.data() + row * width, block, width, columns.largest.data(), columns.squares.data());
  }
}

}  // namespace llmq
#endif  // HWY_ONCE
