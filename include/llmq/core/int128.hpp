// 128-bit fixed point: sums that do not depend on the order or grouping of their terms.
//
// A f64 partial result is converted once (rounded to the unit below) and from then on added as an integer.
// Integer addition is associative, so any partition of the work over ranks and restarts gives the same sum.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>

#include "llmq/core/error.hpp"

namespace llmq {

__extension__ using Int128 = __int128;
__extension__ using UInt128 = unsigned __int128;

/// value -> integer multiple of 2^-fraction_bits, rounded to nearest even. The integer part of a finite f64
/// below 2^(126 - fraction_bits) fits; everything else, NaN included, throws Error(importance).
inline Int128 to_fixed(double value, int fraction_bits) {
  const double scaled = std::ldexp(value, fraction_bits);
  if (!(std::fabs(scaled) < 0x1p126)) {
    throw Error(ExitCode::importance, "a statistic is not finite or exceeds the range of its accumulator");
  }
  const double rounded = std::nearbyint(scaled);
  // Split so that each half converts exactly: |high| < 2^63 and 0 <= low < 2^64.
  const double high = std::floor(std::ldexp(rounded, -64));
  const double low = rounded - std::ldexp(high, 64);
  return static_cast<Int128>(
      (static_cast<UInt128>(static_cast<std::uint64_t>(static_cast<std::int64_t>(high))) << 64) |
      static_cast<std::uint64_t>(low));
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

}  // namespace llmq
