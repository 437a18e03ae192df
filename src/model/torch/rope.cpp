#include "model/torch/rope.hpp"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "model/torch/rope.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace llmq::torch_pass::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <bool kBack, class D>
HWY_INLINE void rotate_pairs(D d, const float* x, const float* cosines, const float* sines, std::size_t half,
                             std::size_t c, float* out) {
  const auto a = hn::LoadU(d, x + c);
  const auto b = hn::LoadU(d, x + half + c);
  const auto cosine = hn::LoadU(d, cosines + c);
  auto sine = hn::LoadU(d, sines + c);
  if constexpr (kBack) sine = hn::Neg(sine);
  hn::StoreU(hn::Sub(hn::Mul(a, cosine), hn::Mul(b, sine)), d, out + c);
  hn::StoreU(hn::Add(hn::Mul(b, cosine), hn::Mul(a, sine)), d, out + half + c);
}

template <bool kBack>
HWY_INLINE void rotate_all(const float* x, std::size_t stride, const float* cosines, const float* sines,
                           std::size_t half, std::size_t tokens, float* out, std::size_t out_stride) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 1> single;
  const std::size_t lanes = hn::Lanes(d);
  for (std::size_t t = 0; t < tokens; ++t, x += stride, out += out_stride, cosines += half, sines += half) {
    std::size_t c = 0;
    for (; c + lanes <= half; c += lanes) rotate_pairs<kBack>(d, x, cosines, sines, half, c, out);
    for (; c < half; ++c) rotate_pairs<kBack>(single, x, cosines, sines, half, c, out);
  }
}

void rotate_heads(const float* x, std::size_t stride, const float* cosines, const float* sines,
                  std::size_t half, std::size_t tokens, float* out, std::size_t out_stride) {
  rotate_all<false>(x, stride, cosines, sines, half, tokens, out, out_stride);
}
void rotate_heads_back(float* x, std::size_t stride, const float* cosines, const float* sines,
                       std::size_t half, std::size_t tokens) {
  rotate_all<true>(x, stride, cosines, sines, half, tokens, x, stride);
}

}  // namespace llmq::torch_pass::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace llmq::torch_pass {
namespace {
HWY_EXPORT(rotate_heads);
HWY_EXPORT(rotate_heads_back);
}  // namespace

Rope::Rope(const std::vector<float>& inverse_frequencies, std::size_t max_positions, std::size_t rest,
           float factor)
    : half_(inverse_frequencies.size()),
      rest_(rest),
      cos_(max_positions * half_),
      sin_(max_positions * half_) {
  for (std::size_t position = 0; position < max_positions; ++position) {
    for (std::size_t c = 0; c < half_; ++c) {
      // The angle is formed in f32, as runtimes do; its sine and cosine in f64, rounded once.
      const float angle = static_cast<float>(position) * inverse_frequencies[c];
      cos_[position * half_ + c] = factor * static_cast<float>(std::cos(static_cast<double>(angle)));
      sin_[position * half_ + c] = factor * static_cast<float>(std::sin(static_cast<double>(angle)));
    }
  }
}

void Rope::rotate(const float* x, std::size_t stride, std::size_t first_position, std::size_t tokens,
                  float* out, std::size_t out_stride) const {
  HWY_DYNAMIC_DISPATCH(rotate_heads)
  (x, stride, cos_.data() + first_position * half_, sin_.data() + first_position * half_, half_, tokens, out,
   out_stride);
  for (std::size_t t = 0; rest_ > 0 && out != x && t < tokens; ++t)
    std::copy_n(x + t * stride + 2 * half_, rest_, out + t * out_stride + 2 * half_);
}

void Rope::rotate_back(float* x, std::size_t stride, std::size_t first_position, std::size_t tokens) const {
  HWY_DYNAMIC_DISPATCH(rotate_heads_back)
  (x, stride, cos_.data() + first_position * half_, sin_.data() + first_position * half_, half_, tokens);
}

}  // namespace llmq::torch_pass
#endif
