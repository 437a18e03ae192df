#include "model/torch/row_products.hpp"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "model/torch/row_products.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace llmq::torch_pass::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr std::size_t kLanes = 16;

// A block of a product: kBlockX rows of x against kBlockW of w, the lanes of each pair in registers. Where a
// vector has fewer than 16 lanes, they are made a vector at a time, each time through the whole rows: a block
// of more pairs loads less for each product. 24 pairs fit where there are 32 registers, 12 where there
// are 16. The shape changes no bit.
#if HWY_TARGET == HWY_SCALAR || HWY_HAVE_SCALABLE
constexpr std::size_t kBlockX = 1, kBlockW = 1;

template <std::size_t kX, std::size_t kW>
HWY_INLINE void add_products(const float* const (&x)[kX], const float* const (&w)[kW], std::size_t count,
                             float (&lanes)[kX][kW][kLanes]) {
  for (std::size_t at = 0; at < count; at += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[0][0][lane] += x[0][at + lane] * w[0][at + lane];
  }
}
#else
using D = hn::CappedTag<float, kLanes>;
constexpr std::size_t kStep = hn::MaxLanes(D());
constexpr std::size_t kBlockX = kStep == kLanes ? 6 : 3, kBlockW = 4;

/// lanes[i][j][l] += sum of x[i][k] w[j][k] over k = l mod 16, for `count` columns, a multiple of 16.
template <std::size_t kX, std::size_t kW>
HWY_INLINE void add_products(const float* const (&x)[kX], const float* const (&w)[kW], std::size_t count,
                             float (&lanes)[kX][kW][kLanes]) {
  const D d;
  for (std::size_t part = 0; part < kLanes; part += kStep) {
    hn::Vec<D> sums[kX][kW];
#pragma GCC unroll 8
    for (std::size_t i = 0; i < kX; ++i) {
#pragma GCC unroll 8
      for (std::size_t j = 0; j < kW; ++j) sums[i][j] = hn::Load(d, lanes[i][j] + part);
    }
    for (std::size_t at = part; at < count; at += kLanes) {
      hn::Vec<D> weights[kW];
#pragma GCC unroll 8
      for (std::size_t j = 0; j < kW; ++j) weights[j] = hn::LoadU(d, w[j] + at);
#pragma GCC unroll 8
      for (std::size_t i = 0; i < kX; ++i) {
        const auto value = hn::LoadU(d, x[i] + at);
#pragma GCC unroll 8
        for (std::size_t j = 0; j < kW; ++j) sums[i][j] = hn::Add(sums[i][j], hn::Mul(value, weights[j]));
      }
    }
#pragma GCC unroll 8
    for (std::size_t i = 0; i < kX; ++i) {
#pragma GCC unroll 8
      for (std::size_t j = 0; j < kW; ++j) hn::Store(sums[i][j], d, lanes[i][j] + part);
    }
  }
}
#endif

HWY_INLINE float sum_of(float (&lanes)[kLanes]) {
  for (std::size_t half = kLanes / 2; half > 0; half /= 2) {
    for (std::size_t lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  }
  return lanes[0];
}

/// y [kX, kW]; what is left of the columns is padded with zeros, which add nothing.
template <std::size_t kX, std::size_t kW>
HWY_INLINE void multiply_block(const MatrixView<const float>& x, std::size_t row,
                               const MatrixView<const float>& w, std::size_t column,
                               const MatrixView<float>& y, Product product) {
  const float* x_rows[kX];
  const float* w_rows[kW];
  for (std::size_t i = 0; i < kX; ++i) x_rows[i] = x.data + (row + i) * x.stride;
  for (std::size_t j = 0; j < kW; ++j) w_rows[j] = w.data + (column + j) * w.stride;
  HWY_ALIGN float lanes[kX][kW][kLanes] = {};
  const std::size_t whole = x.columns / kLanes * kLanes;
  add_products(x_rows, w_rows, whole, lanes);
  if (whole < x.columns) {
    HWY_ALIGN float rest[kX + kW][kLanes] = {};
    for (std::size_t i = 0; i < kX; ++i) {
      std::copy(x_rows[i] + whole, x_rows[i] + x.columns, rest[i]);
      x_rows[i] = rest[i];
    }
    for (std::size_t j = 0; j < kW; ++j) {
      std::copy(w_rows[j] + whole, w_rows[j] + x.columns, rest[kX + j]);
      w_rows[j] = rest[kX + j];
    }
    add_products(x_rows, w_rows, kLanes, lanes);
  }
  for (std::size_t i = 0; i < kX; ++i) {
    for (std::size_t j = 0; j < kW; ++j) {
      float& out = y.data[(row + i) * y.stride + column + j];
      const float sum = sum_of(lanes[i][j]);
      out = product == Product::add ? out + sum : sum;
    }
  }
}

/// Rows [row, row + kX) of x if that is what `rows` says, else one row fewer.
template <std::size_t kW, std::size_t kX = kBlockX>
HWY_INLINE void multiply_some(const MatrixView<const float>& x, std::size_t row, std::size_t rows,
                              const MatrixView<const float>& w, std::size_t column,
                              const MatrixView<float>& y, Product product) {
  if (rows == kX) return multiply_block<kX, kW>(x, row, w, column, y, product);
  if constexpr (kX > 1) multiply_some<kW, kX - 1>(x, row, rows, w, column, y, product);
}

/// All rows of x, in blocks of nearly equal size, against kW rows of w, which stay in the caches meanwhile.
template <std::size_t kW>
HWY_INLINE void multiply_tile(const MatrixView<const float>& x, const MatrixView<const float>& w,
                              std::size_t column, const MatrixView<float>& y, Product product) {
  std::size_t blocks = (x.rows + kBlockX - 1) / kBlockX;
  for (std::size_t row = 0; row < x.rows; --blocks) {
    const std::size_t rows = (x.rows - row + blocks - 1) / blocks;
    multiply_some<kW>(x, row, rows, w, column, y, product);
    row += rows;
  }
}

void multiply_rows(MatrixView<const float> x, MatrixView<const float> w, MatrixView<float> y,
                   Product product) {
  std::size_t column = 0;
  for (; column + kBlockW <= w.rows; column += kBlockW) multiply_tile<kBlockW>(x, w, column, y, product);
  for (; column < w.rows; ++column) multiply_tile<1>(x, w, column, y, product);
}

template <class Tag>
HWY_INLINE void add_weighted(Tag d, float weight, const float* values, std::size_t at, float* out) {
  hn::StoreU(hn::Add(hn::LoadU(d, out + at), hn::Mul(hn::Set(d, weight), hn::LoadU(d, values + at))), d,
             out + at);
}

void sum_weighted_rows(const float* weights, MatrixView<const float> values, float* out) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 1> single;
  const std::size_t lanes = hn::Lanes(d);
  std::fill_n(out, values.columns, 0.0F);
  for (std::size_t s = 0; s < values.rows; ++s) {
    const float* row = values.data + s * values.stride;
    std::size_t c = 0;
    for (; c + lanes <= values.columns; c += lanes) add_weighted(d, weights[s], row, c, out);
    for (; c < values.columns; ++c) add_weighted(single, weights[s], row, c, out);
  }
}

}  // namespace llmq::torch_pass::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace llmq::torch_pass {
namespace {
HWY_EXPORT(multiply_rows);
HWY_EXPORT(sum_weighted_rows);
}  // namespace

void multiply_rows(MatrixView<const float> x, MatrixView<const float> w, MatrixView<float> y,
                   Product product) {
  HWY_DYNAMIC_DISPATCH(multiply_rows)(x, w, y, product);
}

void sum_weighted_rows(const float* weights, MatrixView<const float> values, float* out) {
  HWY_DYNAMIC_DISPATCH(sum_weighted_rows)(weights, values, out);
}

}  // namespace llmq::torch_pass
#endif
