#include "llmq/embedded/profiles.hpp"

#include <array>

extern "C" {
extern const char llmq_attention_high_begin[];
extern const char llmq_attention_high_end[];
extern const char llmq_balanced_begin[];
extern const char llmq_balanced_end[];
extern const char llmq_compression_max_begin[];
extern const char llmq_compression_max_end[];
}

namespace llmq {

std::span<const EmbeddedProfile> embedded_profiles() noexcept {
  static const std::array<EmbeddedProfile, 3> presets = {{
      {"attention-high", {llmq_attention_high_begin, llmq_attention_high_end}},
      {"balanced", {llmq_balanced_begin, llmq_balanced_end}},
      {"compression-max", {llmq_compression_max_begin, llmq_compression_max_end}},
  }};
  return presets;
}

}  // namespace llmq
