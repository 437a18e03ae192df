#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/int8/quantize.cpp"
#include <bit>
#include <cmath>
#include <string>

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "llmq/quant/int8_product.hpp"

#include "quant/int8/reference.hpp"

HWY_BEFORE_NAMESPACE();
namespace llmq::int8::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// Bits of the largest magnitude: floats without sign are ordered as their bits are, with Inf and NaN last.
std::int32_t largest_bits(const float* x, std::size_t count) {
  const hn::ScalableTag<std::int32_t> di;
  const hn::RebindToFloat<decltype(di)> df;
  const std::size_t lanes = hn::Lanes(di);
  const auto magnitude = hn::Set(di, 0x7FFFFFFF);
  const auto bits_at = [&](std::size_t i)
                           HWY_ATTR { return hn::And(hn::BitCast(di, hn::LoadU(df, x + i)), magnitude); };
  auto top0 = hn::Zero(di), top1 = top0, top2 = top0, top3 = top0;  // four, for a maximum takes its time
  std::size_t i = 0;
  for (; i + 4 * lanes <= count; i += 4 * lanes) {
    top0 = hn::Max(top0, bits_at(i));
    top1 = hn::Max(top1, bits_at(i + lanes));
    top2 = hn::Max(top2, bits_at(i + 2 * lanes));
    top3 = hn::Max(top3, bits_at(i + 3 * lanes));
  }
  for (; i + lanes <= count; i += lanes) top0 = hn::Max(top0, bits_at(i));
  top0 = hn::Max(hn::Max(top0, top1), hn::Max(top2, top3));
  std::int32_t top = hn::GetLane(hn::MaxOfLanes(di, top0));
  for (; i < count; ++i) top = std::max(top, std::bit_cast<std::int32_t>(x[i]) & 0x7FFFFFFF);
  return top;
}

/// Codes of finite values; scale above zero.
void encode(const float* x, std::size_t count, float scale, std::int8_t* codes) {
  const hn::ScalableTag<float> df;
  const hn::RebindToSigned<decltype(df)> di;
  const hn::Rebind<std::int8_t, decltype(df)> narrow;
  const std::size_t lanes = hn::Lanes(df);
  const auto divisor = hn::Set(df, scale), top = hn::Set(df, 127.0F), bottom = hn::Set(df, -127.0F);
  const auto shift =
      hn::Set(df, 12582912.0F);  // 1.5 x 2^23: the addition rounds to whole numbers, ties to even
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto scaled = hn::Min(hn::Max(hn::Div(hn::LoadU(df, x + i), divisor), bottom), top);
    const auto whole = hn::Sub(hn::Add(scaled, shift), shift);
    hn::StoreU(hn::DemoteTo(narrow, hn::ConvertTo(di, whole)), narrow, codes + i);
  }
  for (; i < count; ++i) codes[i] = code_of(x[i], scale);
}

}  // namespace llmq::int8::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace llmq {
namespace int8 {
namespace {

HWY_EXPORT(largest_bits);
HWY_EXPORT(encode);

/// Largest magnitude of a row. @throws NotFiniteError
float largest_magnitude(std::span<const float> x, std::size_t row) {
  const float top = std::bit_cast<float>(HWY_DYNAMIC_DISPATCH(largest_bits)(x.data(), x.size()));
  if (std::isfinite(top)) return top;
  std::size_t column = 0;
  while (std::isfinite(x[column])) ++column;
  throw NotFiniteError(x[column], row, column);
}

/// @param scale_of  from the row's largest magnitude
template <class ScaleOf>
void quantize(std::span<const float> x, std::size_t in_features, const ScaleOf& scale_of, Int8Rows& out) {
  if (in_features == 0 || x.size() % in_features != 0) throw InternalError("values are no rows");
  out.in_features = in_features;
  out.codes.resize(x.size());
  out.scales.resize(x.size() / in_features);
  for (std::size_t row = 0; row < out.scales.size(); ++row) {
    const auto values = x.subspan(row * in_features, in_features);
    const float scale = scale_of(largest_magnitude(values, row));
    std::int8_t* codes = out.codes.data() + row * in_features;
    out.scales[row] = scale;
    if (scale == 0) {
      for (std::size_t i = 0; i < in_features; ++i) codes[i] = 0;
    } else {
      HWY_DYNAMIC_DISPATCH(encode)(values.data(), in_features, scale, codes);
    }
  }
}

}  // namespace
}  // namespace int8

NotFiniteError::NotFiniteError(float value, std::size_t row, std::size_t column)
    : Error(ExitCode::validation, "activation of row " + std::to_string(row) + ", column " +
                                      std::to_string(column) + " is " + std::to_string(value)),
      row_(row),
      column_(column) {}

void quantize_rows_int8(std::span<const float> x, std::size_t in_features, Int8Rows& out) {
  int8::quantize(
      x, in_features, [](float top) { return top / 127; }, out);
}

void quantize_rows_int8(std::span<const float> x, std::size_t in_features, float scale, Int8Rows& out) {
  if (!(scale > 0) || !std::isfinite(scale)) {
    throw Error(ExitCode::validation, "scale of int8 activations is " + std::to_string(scale));
  }
  int8::quantize(
      x, in_features, [scale](float) { return scale; }, out);
}

}  // namespace llmq
#endif
