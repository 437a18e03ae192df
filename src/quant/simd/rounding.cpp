#include "quant/simd/rounding.hpp"

#include <cstring>

#include "llmq/core/half.hpp"

#include "quant/blocks.hpp"
#include "quant/objective.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/simd/rounding.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace llmq::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Bits are handled as signed integers, whose comparisons every instruction set has: magnitudes stay below
// 2^31.

struct ToF16 {
  /// Half bits of f32 values, round to nearest even (core/half.hpp does the same with branches).
  template <class D>
  static HWY_INLINE hn::VFromD<D> round(D di, hn::VFromD<D> bits) {
    const hn::RebindToFloat<D> df;
    const auto magnitude = hn::And(bits, hn::Set(di, 0x7FFFFFFF));
    const auto top_bits = hn::ShiftRight<13>(magnitude);
    const auto odd = hn::And(top_bits, hn::Set(di, 1));
    const auto normal = hn::ShiftRight<13>(hn::Add(hn::Add(magnitude, hn::Set(di, 0xFFF - 0x38000000)), odd));
    // Adding 0.5 shifts a subnormal half's unit, 2^-24, to the last place of the sum: the addition rounds.
    const auto shifted = hn::Add(hn::BitCast(df, magnitude), hn::Set(df, 0.5F));
    const auto subnormal = hn::Sub(hn::BitCast(di, shifted), hn::Set(di, 0x3F000000));
    auto half = hn::IfThenElse(hn::Lt(magnitude, hn::Set(di, 0x38800000)), subnormal, normal);
    half = hn::IfThenElse(hn::Gt(magnitude, hn::Set(di, 0x477FEFFF)), hn::Set(di, 0x7C00), half);
    const auto nan = hn::Or(hn::Set(di, 0x7E00), hn::And(top_bits, hn::Set(di, 0x3FF)));
    half = hn::IfThenElse(hn::Gt(magnitude, hn::Set(di, 0x7F800000)), nan, half);
    const auto sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(di, 0x8000));
    return hn::Or(half, sign);
  }
};

struct ToBf16 {
  template <class D>
  static HWY_INLINE hn::VFromD<D> round(D di, hn::VFromD<D> bits) {
    const auto low_half = hn::Set(di, 0xFFFF);
    const auto top = hn::And(hn::ShiftRight<16>(bits), low_half);
    const auto odd = hn::And(top, hn::Set(di, 1));
    const auto rounded =
        hn::And(hn::ShiftRight<16>(hn::Add(hn::Add(bits, hn::Set(di, 0x7FFF)), odd)), low_half);
    const auto magnitude = hn::And(bits, hn::Set(di, 0x7FFFFFFF));
    return hn::IfThenElse(hn::Gt(magnitude, hn::Set(di, 0x7F800000)), hn::Or(top, hn::Set(di, 64)), rounded);
  }
};

template <class Format>
HWY_INLINE void encode_halves(const float* x, std::size_t count, std::byte* out) {
  const hn::ScalableTag<std::int32_t> di;
  const hn::Rebind<std::uint16_t, decltype(di)> narrow;
  const hn::RebindToFloat<decltype(di)> df;
  const std::size_t lanes = hn::Lanes(di);
  auto* halves = reinterpret_cast<std::uint16_t*>(out);  // stored unaligned
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto bits = hn::BitCast(di, hn::LoadU(df, x + i));
    hn::StoreU(hn::DemoteTo(narrow, Format::round(di, bits)), narrow, halves + i);
  }
  const hn::CappedTag<std::int32_t, 1> single;
  const hn::RebindToFloat<decltype(single)> single_float;
  for (; i < count; ++i) {
    const auto bits = hn::BitCast(single, hn::LoadU(single_float, x + i));
    const auto half = static_cast<std::uint16_t>(hn::GetLane(Format::round(single, bits)));
    std::memcpy(out + 2 * i, &half, sizeof half);
  }
}

void encode_f16(const float* x, std::size_t count, std::byte* out) { encode_halves<ToF16>(x, count, out); }
void encode_bf16(const float* x, std::size_t count, std::byte* out) { encode_halves<ToBf16>(x, count, out); }

/// Blocks of 32, eight lanes at a time on every target that has as many: maxima do not depend on order.
void encode_q8_0(const float* x, std::size_t count, std::byte* out) {
  const hn::CappedTag<float, 8> df;
  const hn::RebindToSigned<decltype(df)> di;
  const hn::Rebind<std::int8_t, decltype(df)> codes;
  const std::size_t lanes = hn::Lanes(df);
  for (std::size_t block = 0; block < count / blocks::kSmall; ++block, x += blocks::kSmall) {
    auto top = hn::Zero(df);
    for (std::size_t i = 0; i < blocks::kSmall; i += lanes) top = hn::Max(top, hn::Abs(hn::LoadU(df, x + i)));
    const float d = hn::GetLane(hn::MaxOfLanes(df, top)) / 127;
    const auto inverse = hn::Set(df, inverse_of_scale(d));
    blocks::Q8_0 encoded;
    encoded.d = scale_to_half(d);
    for (std::size_t i = 0; i < blocks::kSmall; i += lanes) {
      const auto scaled =
          hn::Min(hn::Max(hn::Mul(hn::LoadU(df, x + i), inverse), hn::Set(df, -127.0F)), hn::Set(df, 127.0F));
      // Half away from zero, exact: truncate the magnitude, then look at what was cut off.
      const auto magnitude = hn::Abs(scaled);
      const auto whole = hn::ConvertTo(di, magnitude);
      const auto rest = hn::Sub(magnitude, hn::ConvertTo(df, whole));
      const auto up = hn::IfThenElseZero(hn::RebindMask(di, hn::Ge(rest, hn::Set(df, 0.5F))), hn::Set(di, 1));
      const auto rounded = hn::Add(whole, up);
      const auto negative = hn::RebindMask(di, hn::Lt(scaled, hn::Zero(df)));
      const auto code = hn::IfThenElse(negative, hn::Neg(rounded), rounded);
      hn::StoreU(hn::DemoteTo(codes, code), codes, encoded.qs + i);
    }
    std::memcpy(out + block * sizeof encoded, &encoded, sizeof encoded);
  }
}

}  // namespace llmq::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace llmq::simd {
namespace {

HWY_EXPORT(encode_f16);
HWY_EXPORT(encode_bf16);
HWY_EXPORT(encode_q8_0);

void dispatch_f16(std::span<const float> row, std::span<const float>, std::span<std::byte> out) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_f16)(row.data(), row.size(), out.data());
}
void dispatch_bf16(std::span<const float> row, std::span<const float>, std::span<std::byte> out) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_bf16)(row.data(), row.size(), out.data());
}
void dispatch_q8_0(std::span<const float> row, std::span<const float>, std::span<std::byte> out) noexcept {
  HWY_DYNAMIC_DISPATCH(encode_q8_0)(row.data(), row.size(), out.data());
}

}  // namespace

EncodeRow rounding_encoder(GgmlType type) noexcept {
  switch (type) {
    case GgmlType::F16:
      return &dispatch_f16;
    case GgmlType::BF16:
      return &dispatch_bf16;
    case GgmlType::Q8_0:
      return &dispatch_q8_0;
    default:
      return nullptr;
  }
}

}  // namespace llmq::simd
#endif
