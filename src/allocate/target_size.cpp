#include "llmq/allocate/target_size.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "llmq/core/text.hpp"

namespace llmq {

std::uint64_t TargetSize::most_bytes(std::uint64_t original_bytes) const {
  if (bytes) return *bytes;
  return static_cast<std::uint64_t>(std::floor(*ratio * static_cast<double>(original_bytes)));
}

std::optional<TargetSize> parse_target_size(std::string_view text) {
  double value = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || !std::isfinite(value)) return std::nullopt;
  std::string_view unit = text.substr(static_cast<std::size_t>(rest - text.data()));
  if (unit.empty()) {
    if (!(value > 0 && value <= 1)) return std::nullopt;
    return TargetSize{value, std::nullopt};
  }
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  static constexpr std::array<std::string_view, 7> kUnits = {"B", "KB", "MB", "GB", "KiB", "MiB", "GiB"};
  const bool known = std::any_of(kUnits.begin(), kUnits.end(),
                                 [&](std::string_view one) { return equals_ignore_case(one, unit); });
  if (!known) return std::nullopt;
  const std::optional<std::uint64_t> bytes = parse_size(text);
  if (!bytes || *bytes == 0) return std::nullopt;
  return TargetSize{std::nullopt, bytes};
}

}  // namespace llmq
