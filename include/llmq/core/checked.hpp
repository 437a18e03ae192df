// Arithmetic that refuses to overflow: sizes and offsets that come from files pass through here before use.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "llmq/core/error.hpp"

namespace llmq {

/// Converts between integer types; throws Error(validation) naming `what` when the value does not fit.
template <std::integral To, std::integral From>
constexpr To checked_cast(From value, std::string_view what) {
  if (!std::in_range<To>(value)) {
    throw Error(ExitCode::validation, std::string(what) + " is out of range: " + std::to_string(value));
  }
  return static_cast<To>(value);
}

/// a + b; throws Error(validation) naming `what` on overflow.
inline std::uint64_t checked_add(std::uint64_t a, std::uint64_t b, std::string_view what) {
  std::uint64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) {
    throw Error(ExitCode::validation, std::string(what) + " overflows 64 bits");
  }
  return sum;
}

/// a * b; throws Error(validation) naming `what` on overflow.
inline std::uint64_t checked_mul(std::uint64_t a, std::uint64_t b, std::string_view what) {
  std::uint64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) {
    throw Error(ExitCode::validation, std::string(what) + " overflows 64 bits");
  }
  return product;
}

/// Smallest multiple of `alignment` (a power of two) that is not below `value`. Overflow throws.
inline std::uint64_t align_up(std::uint64_t value, std::uint64_t alignment) {
  return checked_add(value, alignment - 1, "aligned size") & ~(alignment - 1);
}

}  // namespace llmq
