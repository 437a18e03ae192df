#include "quant/simd/linear.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/simd/linear.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "quant/linear_encoder.hpp"
#include "quant/simd/dispatch.hpp"
#include "quant/simd/vector_groups-inl.hpp"
#include "quant/simd/vector_signed-inl.hpp"

// type, name of its function
#ifndef LLMQ_LINEAR_TYPES
#define LLMQ_LINEAR_TYPES(X) \
  X(Q4_0, encode_q4_0)       \
  X(Q4_1, encode_q4_1)       \
  X(Q5_0, encode_q5_0)       \
  X(Q5_1, encode_q5_1)       \
  X(Q2_K, encode_q2_k)       \
  X(Q3_K, encode_q3_k)       \
  X(Q4_K, encode_q4_k)       \
  X(Q5_K, encode_q5_k)       \
  X(Q6_K, encode_q6_k)       \
  X(IQ4_NL, encode_iq4_nl)   \
  X(IQ4_XS, encode_iq4_xs)
#endif

HWY_BEFORE_NAMESPACE();
namespace llmq::simd::HWY_NAMESPACE {

template <class Shape>
void encode_linear(std::span<const float> row, std::span<const float> importance, std::span<std::byte> out) {
  if constexpr (kIsAffine<Shape>) {
    encode_linear_row<Shape, AffineGroups<Shape>>(row, importance, out);
  } else {
    encode_linear_row<Shape, SignedGroups<Shape>>(row, importance, out);
  }
}
#define LLMQ_DEFINE(type, function)                                                                        \
  void function(std::span<const float> row, std::span<const float> importance, std::span<std::byte> out) { \
    encode_linear<Shape##type>(row, importance, out);                                                      \
  }
LLMQ_LINEAR_TYPES(LLMQ_DEFINE)
#undef LLMQ_DEFINE

}  // namespace llmq::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace llmq::simd {

LLMQ_LINEAR_TYPES(LLMQ_EXPORT_ENCODER)

EncodeRow linear_encoder(GgmlType type) noexcept {
  switch (type) {
    LLMQ_LINEAR_TYPES(LLMQ_ENCODER_CASE)
    default:
      return nullptr;
  }
}

}  // namespace llmq::simd
#endif
