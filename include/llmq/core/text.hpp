// Small text functions: case, UTF-8 checks, sizes as people write them, numbers as people read them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace llmq {

bool equals_ignore_case(std::string_view a, std::string_view b) noexcept;
std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);

/// True if `bytes` is well-formed UTF-8 (no overlong forms, no surrogates, at most U+10FFFF).
bool is_valid_utf8(std::string_view bytes) noexcept;
/// True for the bytes of a UTF-8 character behind its first.
constexpr bool continues_character(char byte) noexcept {
  return (static_cast<unsigned char>(byte) & 0xC0) == 0x80;
}

/// "12GiB", "1.5 GB", "4096": bytes. KB/MB/GB/TB are powers of ten, KiB/MiB/GiB/TiB powers of two, B
/// optional. Empty when the text is not a size or does not fit 63 bits.
std::optional<std::uint64_t> parse_size(std::string_view text);

/// 2668608 -> "2.7 MB" (powers of ten, one decimal).
std::string format_size(std::uint64_t bytes);

/// 673841 -> "673,841".
std::string format_count(std::uint64_t value);

/// The first few and how many more: "a, b, c, d, e and 7 more".
std::string join_some(std::span<const std::string> words, std::size_t most = 5);

/// Seconds as "18:45" or "1:02:03".
std::string format_duration(double seconds);

/// Now, as ISO 8601 in UTC: "2026-01-31T12:00:00Z".
std::string utc_now();

}  // namespace llmq
