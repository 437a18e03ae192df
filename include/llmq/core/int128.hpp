// 128-bit fixed point: sums that do not depend on the order or grouping of their terms.
//
// A f64 partial result is converted once (rounded to the unit below) and from then on added as an integer.
// Integer addition is associative, so any partition of the work over ranks and restarts gives the same sum.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "llmq/core/error.hpp"

namespace llmq {

__extension__ using Int128 = __int128;
__extension__ using UInt128 = unsigned __int128;

/// value -> integer multiple of 2^-fraction_bits, rounded to nearest even. The integer part of a finite f64
/// below 2^(126 - fraction_bits) fits; everything else, NaN included, throws Error(importance).
/// No libm call: this runs for every column of every sample. fraction_bits: 0 to 1022.
inline Int128 to_fixed(double value, int fraction_bits) {
  constexpr std::uint64_t kImplicitOne = std::uint64_t{1} << 52;
  // Times a power of two is exact; overflow gives infinity, which is refused.
  const double scaled = value * std::bit_cast<double>(static_cast<std::uint64_t>(1023 + fraction_bits) << 52);
  const double magnitude = std::fabs(scaled);
  if (!(magnitude < 0x1p126)) {
    throw Error(ExitCode::importance, "a statistic is not finite or exceeds the range of its accumulator");
  }
  if (magnitude < 0x1p52) {
    // Between 2^52 and 2^53 neighbours are 1 apart: adding 2^52 rounds to nearest even.
    const double shift = std::copysign(0x1p52, scaled);
    return static_cast<std::int64_t>((scaled + shift) - shift);
  }
  // A whole number already: its 53 bits, shifted left by 0 to 73.
  const auto bits = std::bit_cast<std::uint64_t>(magnitude);
  const auto whole = static_cast<Int128>(static_cast<UInt128>((bits & (kImplicitOne - 1)) | kImplicitOne)
                                         << ((bits >> 52) - 1075));
  return scaled < 0 ? -whole : whole;
}

/// Nearest f64 of a fixed-point value; the same bits everywhere for the same integer.
inline double from_fixed(Int128 value, int fraction_bits) {
  const bool negative = value < 0;
  UInt128 magnitude = negative ? UInt128{0} - static_cast<UInt128>(value) : static_cast<UInt128>(value);
  int exponent = -fraction_bits;
  bool sticky = false;
  while (magnitude >=
         (UInt128{1} << 64)) {  // keep 64 bits and remember what fell off, for one final rounding
    sticky = sticky || (magnitude & 1) != 0;
    magnitude >>= 1;
    ++exponent;
  }
  const auto kept = static_cast<std::uint64_t>(magnitude) | (sticky ? 1u : 0u);
  const double result = std::ldexp(static_cast<double>(kept), exponent);
  return negative ? -result : result;
}

/// a + b; overflow throws Error(importance).
inline Int128 add_fixed(Int128 a, Int128 b) {
  Int128 sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) {
    throw Error(ExitCode::importance, "a statistic exceeds the range of its accumulator");
  }
  return sum;
}

/// Adds term by term; both have the same size.
inline void add_all_fixed(std::vector<Int128>& to, const std::vector<Int128>& from) {
  for (std::size_t i = 0; i < to.size(); ++i) to[i] = add_fixed(to[i], from[i]);
}

}  // namespace llmq
