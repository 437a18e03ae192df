// What the vector kernels share: loops over rows with remainders. Included once for each instruction
// set (Highway's foreach_target), hence no ordinary include guard. No fused multiply-add anywhere, and every
// remainder runs the same vector code on a padded copy: the bytes do not depend on the instruction set.
// SPDX-License-Identifier: Apache-2.0
#if defined(LLMQ_VECTORS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef LLMQ_VECTORS_INL
#undef LLMQ_VECTORS_INL
#else
#define LLMQ_VECTORS_INL
#endif

#include <cstddef>
#include <cstdint>

#include <hwy/highway.h>

#include "core/softmax-inl.h"

HWY_BEFORE_NAMESPACE();
namespace llmq::torch_pass::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// out[i] = f(a[i], b[i]). `out` may be `a` or `b`; no alignment needed.
template <class F>
HWY_INLINE void for_each_pair(const float* a, const float* b, std::size_t count, float* out, const F& f) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(f(d, hn::LoadU(d, a + i), hn::LoadU(d, b + i)), d, out + i);
  if (i == count) return;
  HWY_ALIGN float rest_a[HWY_MAX_BYTES / sizeof(float)] = {};
  HWY_ALIGN float rest_b[HWY_MAX_BYTES / sizeof(float)] = {};
  for (std::size_t k = 0; k < count - i; ++k) rest_a[k] = a[i + k], rest_b[k] = b[i + k];
  hn::Store(f(d, hn::Load(d, rest_a), hn::Load(d, rest_b)), d, rest_a);
  for (std::size_t k = 0; k < count - i; ++k) out[i + k] = rest_a[k];
}

/// out[i] = f(a[i]).
template <class F>
HWY_INLINE void for_each(const float* a, std::size_t count, float* out, const F& f) {
  for_each_pair(a, a, count, out, [&f](auto d, auto x, auto) HWY_ATTR { return f(d, x); });
}

/// gelu(g) in its tanh form is g / (1 + e^-z) with this z = 2 sqrt(2 / pi) (g + 0.044715 g^3).
template <class D, class V>
HWY_INLINE V gelu_exponent(D d, V gate) {
  const auto cube = hn::Mul(hn::Mul(gate, gate), gate);
  const auto inner = hn::Add(gate, hn::Mul(hn::Set(d, 0.044715F), cube));
  return hn::Mul(hn::Set(d, 1.5957691216F), inner);
}

using llmq::HWY_NAMESPACE::exp_of_nonpositive;
using llmq::HWY_NAMESPACE::largest;

}  // namespace llmq::torch_pass::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
