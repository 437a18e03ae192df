// How large an output may be, as users say it: a share of the original, or bytes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace llmq {

/// Exactly one of the two is set.
struct TargetSize {
  std::optional<double> ratio;         ///< in (0, 1], of the original's bytes
  std::optional<std::uint64_t> bytes;  ///< above 0

  /// Rounded down. Example: ratio 0.25 of 1001 bytes -> 250.
  std::uint64_t most_bytes(std::uint64_t original_bytes) const;
};

/// "0.25": a ratio in (0, 1]; "700MB", "1.5 GiB", "4096B": bytes (KB, MB, GB powers of ten, KiB, MiB, GiB
/// powers of two, in any case). Empty for anything else.
std::optional<TargetSize> parse_target_size(std::string_view text);

}  // namespace llmq
