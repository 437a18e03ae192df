#include "model/torch/softmax.hpp"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "model/torch/softmax.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "model/torch/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace llmq::torch_pass::HWY_NAMESPACE {

/// Sum in 16 lanes, added in order at the end. 128-bit vectors exist on every target and the adds are few
/// beside the exponentials: one form for all keeps the order plain.
HWY_INLINE float sum_in_lanes(const float* x, std::size_t count) {
  constexpr std::size_t kLanes = 16;
  HWY_ALIGN float lanes[kLanes] = {};
  const std::size_t whole = count / kLanes * kLanes;
#if HWY_TARGET == HWY_SCALAR
  for (std::size_t i = 0; i < whole; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += x[i + lane];
  }
#else
  const hn::FixedTag<float, 4> d;
  auto sum0 = hn::Zero(d), sum1 = hn::Zero(d), sum2 = hn::Zero(d), sum3 = hn::Zero(d);
  for (std::size_t i = 0; i < whole; i += kLanes) {
    sum0 = hn::Add(sum0, hn::LoadU(d, x + i));
    sum1 = hn::Add(sum1, hn::LoadU(d, x + i + 4));
    sum2 = hn::Add(sum2, hn::LoadU(d, x + i + 8));
    sum3 = hn::Add(sum3, hn::LoadU(d, x + i + 12));
  }
  hn::Store(sum0, d, lanes);
  hn::Store(sum1, d, lanes + 4);
  hn::Store(sum2, d, lanes + 8);
  hn::Store(sum3, d, lanes + 12);
#endif
  for (std::size_t i = whole; i < count; ++i) lanes[i - whole] += x[i];
  float sum = 0;
  for (const float lane : lanes) sum += lane;
  return sum;
}

/// Exponentials in place; their sum.
HWY_INLINE double exponentials(float* row, std::size_t count, float scale) {
  constexpr std::size_t kBlock = 512;  // still in L1 when it is summed
  const float top = largest(row, count);
  double sum = 0;
  for (std::size_t begin = 0; begin < count; begin += kBlock) {
    const std::size_t length = std::min(kBlock, count - begin);
    for_each(row + begin, length, row + begin, [top, scale](auto d, auto x) HWY_ATTR {
      return exp_of_nonpositive(d, hn::Mul(hn::Sub(x, hn::Set(d, top)), hn::Set(d, scale)));
    });
    sum += static_cast<double>(sum_in_lanes(row + begin, length));
  }
  return sum;
}

void causal_softmax(float* scores, std::size_t rows, std::size_t visible, std::size_t width,
                    std::size_t stride, float scale, float* inverse_sums) {
  for (std::size_t row = 0; row < rows; ++row, scores += stride) {
    inverse_sums[row] = static_cast<float>(1.0 / exponentials(scores, visible + row, scale));
    std::fill(scores + visible + row, scores + width, 0.0F);
  }
}

}  // namespace llmq::torch_pass::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace llmq::torch_pass {
namespace {
HWY_EXPORT(causal_softmax);
}

void causal_softmax(float* scores, std::size_t rows, std::size_t visible, std::size_t width,
                    std::size_t stride, float scale, float* inverse_sums) {
  HWY_DYNAMIC_DISPATCH(causal_softmax)(scores, rows, visible, width, stride, scale, inverse_sums);
}

}  // namespace llmq::torch_pass
#endif
