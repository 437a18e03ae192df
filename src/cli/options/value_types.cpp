#include "cli/options/value_types.hpp"

#include "llmq/embedded/profiles.hpp"
#include "llmq/quant/codec.hpp"
#include "llmq/quant/type_policy.hpp"

namespace llmq::cli {

std::vector<std::string_view> available_levels() {
  std::vector<std::string_view> names;
  for (const FileLevel& level : file_levels()) {
    if (level.available) names.push_back(level.name);
  }
  return names;
}

std::vector<std::string_view> available_presets() {
  std::vector<std::string_view> names;
  for (const EmbeddedProfile& preset : embedded_profiles()) names.push_back(preset.name);
  return names;
}

std::vector<std::string_view> available_tensor_types() {
  std::vector<std::string_view> names;
  for (const BlockType& row : block_types()) {
    if (can_encode(row.type)) names.push_back(row.name);
  }
  return names;
}

}  // namespace llmq::cli
