#include "quant/simd/small.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/simd/small.cpp"
#include <cstring>
#include <limits>

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "quant/group_search.hpp"
#include "quant/mxfp4.hpp"
#include "quant/simd/dispatch.hpp"
#include "quant/simd/lanes-inl.hpp"
#include "quant/simd/weights-inl.hpp"
#include "quant/ternary_choice.hpp"

// type, name of its function
#ifndef LLMQ_SMALL_TYPES
#define LLMQ_SMALL_TYPES(X) \
  X(TQ1_0, encode_tq1_0)    \
  X(TQ2_0, encode_tq2_0)    \
  X(MXFP4, encode_mxfp4)
#endif

HWY_BEFORE_NAMESPACE();
namespace llmq::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

HWY_INLINE float largest_magnitude(const float* x, std::size_t count) {
  auto top = hn::Zero(kLane);
  for (std::size_t i = 0; i < count; i += kLanes) top = hn::Max(top, hn::Abs(hn::LoadU(kLane, x + i)));
  return hn::GetLane(hn::MaxOfLanes(kLane, top));
}

HWY_INLINE float ternary_scale(const float* x, const float* weights) {
  constexpr std::size_t elems = blocks::kSuper;
  const float top = largest_magnitude(x, elems);
  if (!(top >= kZeroGroup)) return 0;
  alignas(64) float magnitudes[elems], products[elems];
  for (std::size_t i = 0; i < elems; i += kLanes) {
    const auto magnitude = hn::Abs(hn::LoadU(kLane, x + i));
    hn::Store(magnitude, kLane, magnitudes + i);
    hn::Store(hn::Mul(hn::Load(kLane, weights + i), magnitude), kLane, products + i);
  }
  float best = 0, best_gain = 0;
  const auto try_threshold = [&](float threshold) HWY_ATTR {
    const auto limit = hn::Set(kLane, threshold);
    PartialSums sum_x, sum_w;
    for_partials(elems, [&](std::size_t i, std::size_t part) HWY_ATTR {
      const auto above = hn::Gt(hn::Load(kLane, magnitudes + i), limit);
      sum_x.add(part, hn::IfThenElseZero(above, hn::Load(kLane, products + i)));
      sum_w.add(part, hn::IfThenElseZero(above, hn::Load(kLane, weights + i)));
    });
    const float above_x = sum_x.sum(), above_w = sum_w.sum();
    const float d = above_x / above_w;
    const float gain = d * above_x;
    if (above_w > 0 && gain > best_gain) best = d, best_gain = gain;
  };
  for (const float part : kTernaryThresholds) try_threshold(top * part);
  for (int refit = 0; refit < kTernaryRefits; ++refit) try_threshold(0.5F * best);
  return best;
}

template <class Block>
void encode_ternary(std::span<const float> row, std::span<const float> importance, std::span<std::byte> out) {
  constexpr std::size_t elems = blocks::kSuper;
  const hn::RebindToSigned<Lane> di;
  const hn::Rebind<std::uint8_t, Lane> du8;
  for (std::size_t index = 0; index < row.size() / elems; ++index) {
    const float* x = row.data() + index * elems;
    alignas(64) float weights[elems];
    weigh<elems, elems>(kTernaryObjective, x, importance_of(importance, index * elems, elems), 0, weights);
    TernaryChoice choice;
    const float d = half_of(ternary_scale(x, weights));
    choice.d = f32_to_f16(d);
    const auto limit = hn::Set(kLane, 0.5F * d);
    for (std::size_t i = 0; i < elems; i += kLanes) {
      const auto value = hn::LoadU(kLane, x + i);
      const auto counts = hn::RebindMask(di, hn::Gt(hn::Abs(value), limit));
      const auto negative = hn::RebindMask(di, hn::Lt(value, hn::Zero(kLane)));
      const auto outer = hn::IfThenElse(negative, hn::Zero(di), hn::Set(di, 2));
      hn::StoreU(hn::DemoteTo(du8, hn::IfThenElse(counts, outer, hn::Set(di, 1))), du8,
                 choice.trits.data() + i);
    }
    Block block{};
    packing::pack(choice, block);
    std::memcpy(out.data() + index * sizeof block, &block, sizeof block);
  }
}

void encode_tq1_0(std::span<const float> row, std::span<const float> importance, std::span<std::byte> out) {
  encode_ternary<blocks::TQ1_0>(row, importance, out);
}
void encode_tq2_0(std::span<const float> row, std::span<const float> importance, std::span<std::byte> out) {
  encode_ternary<blocks::TQ2_0>(row, importance, out);
}

HWY_INLINE Vec nearest_fp4(Vec value) {
  const auto half = round_even(hn::Mul(hn::Set(kLane, 0.5F), value));
  const auto coarse = hn::Min(hn::Mul(hn::Set(kLane, 2.0F), half), hn::Set(kLane, 8.0F));
  const auto level = hn::IfThenElse(hn::Ge(value, hn::Set(kLane, 3.5F)), coarse, round_even(value));
  return hn::IfThenElse(hn::Ge(value, hn::Set(kLane, 10.0F)), hn::Set(kLane, 12.0F), level);
}

HWY_INLINE float mxfp4_error(const float* x, const float* weights, int exponent) {
  const auto scale = hn::Set(kLane, mxfp4_scale(exponent));
  const auto inverse = hn::Set(kLane, 1 / mxfp4_scale(exponent));
  PartialSums error;
  for_partials(blocks::kSmall, [&](std::size_t i, std::size_t part) HWY_ATTR {
    const auto magnitude = hn::Abs(hn::LoadU(kLane, x + i));
    const auto difference = hn::Sub(magnitude, hn::Mul(scale, nearest_fp4(hn::Mul(magnitude, inverse))));
    error.add(part, hn::Mul(hn::LoadU(kLane, weights + i), hn::Mul(difference, difference)));
  });
  return error.sum();
}

void encode_mxfp4(std::span<const float> row, std::span<const float> importance, std::span<std::byte> out) {
  constexpr std::size_t elems = blocks::kSmall;
  const hn::RebindToSigned<Lane> di;
  const hn::Rebind<std::uint8_t, Lane> du8;
  for (std::size_t index = 0; index < row.size() / elems; ++index) {
    const float* x = row.data() + index * elems;
    alignas(64) float weights[elems];
    weigh<elems, elems>(kMxfp4Objective, x, importance_of(importance, index * elems, elems), 0, weights);
    const float top = largest_magnitude(x, elems);
    const int clipping = mxfp4_exponent(top);
    int exponent = clipping;
    float best = std::numeric_limits<float>::infinity();
    for (const int beside : {0, 1, -1}) {
      const int tried = std::clamp(clipping + beside, kMxfp4LowestExponent, kMxfp4HighestExponent);
      const float error = mxfp4_error(x, weights, tried);
      if (error < best) best = error, exponent = tried;
    }
    blocks::MXFP4 block{};
    block.e = static_cast<std::uint8_t>(top > 0 ? exponent : 0);
    const auto inverse = hn::Set(kLane, 1 / mxfp4_scale(exponent));
    std::uint8_t codes[elems];
    for (std::size_t i = 0; i < elems; i += kLanes) {
      const auto value = hn::LoadU(kLane, x + i);
      const auto level = nearest_fp4(hn::Mul(hn::Abs(value), inverse));
      // Codes of 0, 1, 2, 3, 4 are themselves; 6, 8 and 12 follow.
      auto code = hn::Min(level, hn::Set(kLane, 4.0F));
      for (const float next : {6.0F, 8.0F, 12.0F}) {
        const auto reached = hn::Ge(level, hn::Set(kLane, next));
        code = hn::Add(code, hn::IfThenElseZero(reached, hn::Set(kLane, 1.0F)));
      }
      const auto negative = hn::And(hn::Lt(value, hn::Zero(kLane)), hn::Gt(level, hn::Zero(kLane)));
      code = hn::Add(code, hn::IfThenElseZero(negative, hn::Set(kLane, 8.0F)));
      hn::StoreU(hn::DemoteTo(du8, hn::ConvertTo(di, code)), du8, codes + i);
    }
    packing::pack_nibbles(codes, block.qs);
    std::memcpy(out.data() + index * sizeof block, &block, sizeof block);
  }
}

}  // namespace llmq::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace llmq::simd {

LLMQ_SMALL_TYPES(LLMQ_EXPORT_ENCODER)

EncodeRow small_encoder(GgmlType type) noexcept {
  switch (type) {
    LLMQ_SMALL_TYPES(LLMQ_ENCODER_CASE)
    default:
      return nullptr;
  }
}

}  // namespace llmq::simd
#endif
