#include "llmq/formats/safetensors_layout.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "llmq/core/checked.hpp"
#include "llmq/core/error.hpp"

namespace llmq {
namespace {

using Json = nlohmann::ordered_json;

std::uint64_t bytes_of(const SafetensorsEntry& entry) {
  std::uint64_t bytes = dtype_bytes(entry.dtype);
  for (const std::uint64_t extent : entry.shape) bytes = checked_mul(bytes, extent, "size of a tensor");
  return bytes;
}

void check_names(const std::vector<SafetensorsEntry>& entries) {
  std::set<std::string_view> seen;
  for (const SafetensorsEntry& entry : entries) {
    if (entry.name.empty() || entry.name == "__metadata__" || !seen.insert(entry.name).second)
      throw Error(ExitCode::validation,
                  fmt::format("tensor \"{}\" cannot be written under this name", entry.name));
  }
}

/// Indices of entries, shard by shard.
std::vector<std::vector<std::size_t>> deal_out(const std::vector<SafetensorsEntry>& entries,
                                               std::uint64_t shard_bytes) {
  std::vector<std::vector<std::size_t>> shards(1);
  std::uint64_t used = 0;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const std::uint64_t bytes = bytes_of(entries[i]);
    if (!shards.back().empty() && (bytes > shard_bytes || used > shard_bytes - bytes)) {
      shards.emplace_back();
      used = 0;
    }
    shards.back().push_back(i);
    used = checked_add(used, bytes, "size of a shard");
  }
  for (std::vector<std::size_t>& shard : shards) {
    std::stable_sort(shard.begin(), shard.end(), [&](std::size_t a, std::size_t b) {
      return dtype_bytes(entries[a].dtype) > dtype_bytes(entries[b].dtype);
    });
  }
  return shards;
}

/// Sets places relative to the data; they move by the head's length once that is known.
std::string make_head(const std::vector<SafetensorsEntry>& entries, const std::vector<std::size_t>& shard,
                      const SafetensorsMetadata& metadata, std::vector<SafetensorsPlace>& places,
                      std::uint64_t& data_bytes) {
  Json header = {{"__metadata__", metadata}};
  data_bytes = 0;
  for (const std::size_t index : shard) {
    const SafetensorsEntry& entry = entries[index];
    const std::uint64_t size = bytes_of(entry);
    header[entry.name] = {{"dtype", dtype_name(entry.dtype)},
                          {"shape", entry.shape},
                          {"data_offsets", {data_bytes, data_bytes + size}}};
    places[index].offset_bytes = data_bytes;
    places[index].size_bytes = size;
    data_bytes = checked_add(data_bytes, size, "size of a shard");
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  static_assert(std::endian::native == std::endian::little);
  const std::uint64_t length = text.size();
  std::string head(sizeof length, '\0');
  std::memcpy(head.data(), &length, sizeof length);
  return head + text;
}

std::string make_index(const std::vector<SafetensorsEntry>& entries, const SafetensorsLayout& layout) {
  std::uint64_t total = 0;
  Json map = Json::object();
  for (std::size_t i = 0; i < entries.size(); ++i) {
    total += layout.places[i].size_bytes;
    map[entries[i].name] = layout.shards[layout.places[i].shard].file_name;
  }
  return Json{{"metadata", {{"total_size", total}}}, {"weight_map", map}}.dump(2) + "\n";
}

}  // namespace

SafetensorsLayout plan_safetensors(const std::vector<SafetensorsEntry>& entries, std::uint64_t shard_bytes,
                                   const SafetensorsMetadata& metadata) {
  if (entries.empty()) throw InternalError("no tensors to write");
  check_names(entries);
  const auto shards = deal_out(entries, shard_bytes);
  SafetensorsLayout layout;
  layout.places.resize(entries.size());
  for (std::size_t s = 0; s < shards.size(); ++s) {
    std::uint64_t data_bytes = 0;
    SafetensorsShard shard;
    shard.file_name = shards.size() == 1
                          ? "model.safetensors"
                          : fmt::format("model-{:05}-of-{:05}.safetensors", s + 1, shards.size());
    shard.head = make_head(entries, shards[s], metadata, layout.places, data_bytes);
    shard.file_bytes = shard.head.size() + data_bytes;
    for (const std::size_t index : shards[s]) {
      layout.places[index].shard = s;
      layout.places[index].offset_bytes += shard.head.size();
    }
    layout.shards.push_back(std::move(shard));
  }
  if (layout.shards.size() > 1) layout.index = make_index(entries, layout);
  return layout;
}

}  // namespace llmq
