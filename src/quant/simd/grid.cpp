#include "quant/simd/grid.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/simd/grid.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "quant/grid_encoder.hpp"
#include "quant/simd/dispatch.hpp"
#include "quant/simd/vector_magnitudes-inl.hpp"
#include "quant/simd/vector_ternary-inl.hpp"

// type, name of its function
#ifndef LLMQ_GRID_TYPES
#define LLMQ_GRID_TYPES(X)   \
  X(IQ2_XXS, encode_iq2_xxs) \
  X(IQ2_XS, encode_iq2_xs)   \
  X(IQ2_S, encode_iq2_s)     \
  X(IQ3_XXS, encode_iq3_xxs) \
  X(IQ3_S, encode_iq3_s)     \
  X(IQ1_S, encode_iq1_s)     \
  X(IQ1_M, encode_iq1_m)
#endif

HWY_BEFORE_NAMESPACE();
namespace llmq::simd::HWY_NAMESPACE {

template <class Shape>
void encode_grid(std::span<const float> row, std::span<const float> importance, std::span<std::byte> out) {
  if constexpr (kIsTernaryGrid<Shape>) {
    encode_grid_row<Shape, TernaryCells<Shape>>(row, importance, out);
  } else {
    encode_grid_row<Shape, MagnitudeCells<Shape>>(row, importance, out);
  }
}
#define LLMQ_DEFINE(type, function)                                                                        \
  void function(std::span<const float> row, std::span<const float> importance, std::span<std::byte> out) { \
    encode_grid<Shape##type>(row, importance, out);                                                        \
  }
LLMQ_GRID_TYPES(LLMQ_DEFINE)
#undef LLMQ_DEFINE

}  // namespace llmq::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace llmq::simd {

LLMQ_GRID_TYPES(LLMQ_EXPORT_ENCODER)

EncodeRow grid_encoder(GgmlType type) noexcept {
  switch (type) {
    LLMQ_GRID_TYPES(LLMQ_ENCODER_CASE)
    default:
      return nullptr;
  }
}

}  // namespace llmq::simd
#endif
