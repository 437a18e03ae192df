// What a softmax needs: the largest value, and exp of vectors. Included once for each instruction set (Highway's foreach_target), hence no ordinary include
// guard. No fused multiply-add: the bytes do not depend on the instruction set.
// SPDX-License-Identifier: Apache-2.0
#if defined(LLMQ_SOFTMAX_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef LLMQ_SOFTMAX_INL
#undef LLMQ_SOFTMAX_INL
#else
#define LLMQ_SOFTMAX_INL
#endif

#include <algorithm>
#include <cstddef>

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace llmq::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Largest of at least one value; the order cannot matter. Of NaN nothing is promised.
HWY_INLINE float largest(const float* values, std::size_t count) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  float max = values[0];
  std::size_t i = 0;
  if (count >= lanes) {
    auto tops = hn::LoadU(d, values);
    for (i = lanes; i + lanes <= count; i += lanes) tops = hn::Max(tops, hn::LoadU(d, values + i));
    max = hn::GetLane(hn::MaxOfLanes(d, tops));
  }
  for (; i < count; ++i) max = std::max(max, values[i]);
  return max;
}

/// e^x for x <= 0 within 1.5 ulp; exactly 1 at 0; 0 below -87.3 (where results would be subnormal); NaN stays.
///   x = n ln2 + r, |r| <= 0.3467;  e^x = 2^n (1 + r + r^2 q(r))
/// ln2 is split so that n * high is exact for |n| < 2^8. q interpolates (e^r - 1 - r) / r^2 at the 5 Chebyshev
/// nodes of [-0.3467, 0.3467]: 1.1e-8 relative error of e^r, a sixth of a half ulp.
template <class D, class V>
HWY_INLINE V exp_of_nonpositive(D d, V x) {
  const hn::RebindToUnsigned<D> bits;
  // Adding 1.5 * 2^23 rounds to a whole number, which then stands in the low bits of the sum: no conversion
  // instruction, whose treatment of out-of-range values differs between machines.
  const auto magic = hn::Set(d, 0x1.8p23F);
  const auto shifted = hn::Add(hn::Mul(x, hn::Set(d, 0x1.715476p+0F)), magic);
  const auto n = hn::Sub(shifted, magic);
  const auto r = hn::Sub(hn::Sub(x, hn::Mul(n, hn::Set(d, 0x1.62e4p-1F))), hn::Mul(n, hn::Set(d, 0x1.7f7d1cp-20F)));
  auto q = hn::Set(d, 0x1.6d112cp-10F);
  q = hn::Add(hn::Mul(q, r), hn::Set(d, 0x1.120b9p-7F));
  q = hn::Add(hn::Mul(q, r), hn::Set(d, 0x1.55551ap-5F));
  q = hn::Add(hn::Mul(q, r), hn::Set(d, 0x1.5554dcp-3F));
  q = hn::Add(hn::Mul(q, r), hn::Set(d, 0.5F));
  const auto power = hn::Add(hn::Set(d, 1.0F), hn::Add(r, hn::Mul(hn::Mul(r, r), q)));
  // The low 9 bits of the magic number's own pattern are 0: the shift leaves n in the exponent field.
  const auto scale =
      hn::BitCast(d, hn::Add(hn::ShiftLeft<23>(hn::BitCast(bits, shifted)), hn::Set(bits, 0x3F800000U)));
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -87.3F)), hn::Mul(power, scale));
}

}  // namespace llmq::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
