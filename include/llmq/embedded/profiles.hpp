// Presets the binary carries; the files are in configs/profiles. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

namespace llmq {

struct EmbeddedProfile {
  std::string_view name;  ///< "balanced"
  std::string_view text;  ///< a .dqprofile, docs/profiles.md
};

/// In the order of `profile list`.
std::span<const EmbeddedProfile> embedded_profiles() noexcept;

}  // namespace llmq
