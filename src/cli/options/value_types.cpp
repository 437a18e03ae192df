#include "cli/options/value_types.hpp"

#include "llmq/quant/type_policy.hpp"

namespace llmq::cli {

std::vector<std::string_view> available_levels() {
  std::vector<std::string_view> names;
  for (const FileLevel& level : file_levels()) {
    if (level.available) names.push_back(level.name);
  }
  return names;
}

}  // namespace llmq::cli
