// Which texts from a user or a server may become parts of paths and URLs. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace llmq::hub {

/// ASCII only, whatever the locale.
constexpr bool is_alphanumeric(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/// `digits` lower-case hex digits.
bool is_hex(std::string_view text, std::size_t digits) noexcept;

/// A branch, a tag or a commit: parts of letters, digits, '.', '_' and '-', joined by '/'.
bool is_revision(std::string_view text) noexcept;

/// The name of a file in a directory: printable ASCII without '/' and '\', neither "." nor "..", at most 255
/// bytes.
bool is_plain_file_name(std::string_view text) noexcept;

/// Percent-encoded, '/' included.
std::string url_part(std::string_view text);

/// What came from a server, fit to be shown: cut, control characters and quotes taken out.
std::string shown(std::string_view text, std::size_t most = 120);

}  // namespace llmq::hub
