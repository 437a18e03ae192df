#include "hub/shards.hpp"

#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/core/json.hpp"

#include "hub/names.hpp"

namespace llmq::hub {
namespace {
constexpr std::uint64_t kMaxIndexBytes = std::uint64_t{256} << 20;
}

std::vector<std::string> shards_of_index(const std::filesystem::path& index) {
  const auto fail = [&](std::string reason) {
    throw FormatError(ExitCode::validation, index.string(), FormatError::kNoOffset, std::move(reason));
  };
  const nlohmann::json document =
      parse_json_strict(read_file(index, kMaxIndexBytes), index.string(), ExitCode::validation);
  if (!document.is_object() || !document.contains("weight_map") || !document["weight_map"].is_object() ||
      document["weight_map"].empty()) {
    fail("has no weight_map");
  }
  std::set<std::string> names;
  for (const auto& [tensor, shard] : document["weight_map"].items()) {
    const std::string name = shard.is_string() ? shard.get<std::string>() : std::string();
    if (!is_plain_file_name(name)) fail(fmt::format("\"{}\" is not the name of a shard", shown(name)));
    names.insert(name);
  }
  return {names.begin(), names.end()};
}

}  // namespace llmq::hub
