// Names of shards, and the plan of a set: sizes are known before any file is opened.
// SPDX-License-Identifier: Apache-2.0
#include "llmq/formats/gguf_split.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

#include <fmt/format.h>

#include "llmq/core/checked.hpp"
#include "llmq/core/text.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEnding = ".gguf";
constexpr std::size_t kDigits = 5;
constexpr std::size_t kMaxShards = std::numeric_limits<std::uint16_t>::max();

/// The number that `text` is, if it is one of five digits.
std::optional<std::uint32_t> five_digits(std::string_view text) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.size() != kDigits || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::uint64_t info_bytes(const GgufTensorInfo& tensor) {
  return 8 + tensor.name.size() + 4 + 8 * std::uint64_t{tensor.n_dims} + 4 + 8;
}

void set_split_keys(std::size_t index, std::size_t count, std::size_t tensors, GgufMetadata& metadata) {
  metadata.set("split.no", static_cast<std::uint16_t>(index));
  metadata.set("split.count", static_cast<std::uint16_t>(count));
  metadata.set("split.tensors.count", checked_cast<std::int32_t>(tensors, "tensors of all shards"));
}

/// A file that grows by tensors.
class ShardSize {
 public:
  ShardSize(const GgufMetadata& metadata, std::uint64_t alignment) : alignment_(alignment) {
    GgufHeader bare;
    bare.metadata = metadata;
    head_ = encode_gguf_head(bare).size();
  }

  std::uint64_t with(const GgufTensorInfo& tensor) const {
    const std::uint64_t data = align_up(checked_add(data_, tensor.size_bytes, "size of a shard"), alignment_);
    return checked_add(align_up(head_ + info_bytes(tensor), alignment_), data, "size of a shard");
  }
  void add(const GgufTensorInfo& tensor) {
    head_ += info_bytes(tensor);
    data_ = align_up(data_ + tensor.size_bytes, alignment_);
  }

 private:
  std::uint64_t alignment_;
  std::uint64_t head_ = 0, data_ = 0;
};

/// The shard of each tensor.
std::vector<std::uint32_t> deal_out(const GgufHeader& whole, std::uint64_t max_bytes) {
  GgufMetadata first = whole.metadata, later;
  set_split_keys(0, 0, whole.tensors.size(), first);
  set_split_keys(0, 0, whole.tensors.size(), later);
  std::vector<std::uint32_t> shard_of;
  ShardSize size(first, whole.alignment);
  std::uint32_t shard = 0;
  for (const GgufTensorInfo& tensor : whole.tensors) {
    if (size.with(tensor) > max_bytes) {  // nothing is left empty by that: metadata alone are a file, too
      ++shard;
      size = ShardSize(later, whole.alignment);
    }
    size.add(tensor);
    shard_of.push_back(shard);
  }
  return shard_of;
}

}  // namespace

fs::path GgufShardName::path() const {
  fs::path file = stem;
  file += fmt::format("-{:05}-of-{:05}{}", index + 1, count, kEnding);
  return file;
}

std::optional<GgufShardName> parse_gguf_shard_name(const fs::path& file) {
  constexpr std::string_view kOf = "-of-";
  constexpr std::size_t kTail = 1 + kDigits + kOf.size() + kDigits + kEnding.size();
  const std::string name = file.filename().string();
  if (name.size() <= kTail || !name.ends_with(kEnding)) return std::nullopt;
  const std::string_view tail = std::string_view(name).substr(name.size() - kTail);
  const auto number = five_digits(tail.substr(1, kDigits));
  const auto count = five_digits(tail.substr(1 + kDigits + kOf.size(), kDigits));
  if (tail[0] != '-' || tail.substr(1 + kDigits, kOf.size()) != kOf || !number || !count) return std::nullopt;
  if (*number == 0 || *number > *count) return std::nullopt;
  return GgufShardName{file.parent_path() / name.substr(0, name.size() - kTail), *number - 1, *count};
}

fs::path gguf_stem(const fs::path& file) {
  if (const auto shard = parse_gguf_shard_name(file)) return shard->stem;
  const std::string name = file.filename().string();
  if (!name.ends_with(kEnding) || name.size() == kEnding.size()) return file;
  return file.parent_path() / name.substr(0, name.size() - kEnding.size());
}

GgufSplit plan_gguf_split(const GgufHeader& whole, std::uint64_t max_bytes) {
  GgufSplit split;
  split.shard_of = deal_out(whole, max_bytes);
  const std::size_t count = split.shard_of.empty() ? 1 : split.shard_of.back() + std::size_t{1};
  if (count > kMaxShards) {
    throw Error(
        ExitCode::invalid_arguments,
        fmt::format("files of {} would be {}, more than a set can have", format_size(max_bytes), count),
        "Give a larger --split-max-size");
  }
  split.shards.resize(count);
  split.shards.front().header.metadata = whole.metadata;
  for (std::size_t i = 0; i < whole.tensors.size(); ++i)
    split.shards[split.shard_of[i]].header.tensors.push_back(whole.tensors[i]);
  for (std::size_t s = 0; s < count; ++s) {
    GgufShard& shard = split.shards[s];
    shard.header.alignment = whole.alignment;
    set_split_keys(s, count, whole.tensors.size(), shard.header.metadata);
    shard.file_bytes = plan_gguf(shard.header);
  }
  return split;
}

std::vector<fs::path> gguf_files_of_stem(const fs::path& stem) {
  std::vector<fs::path> found;
  const fs::path directory = stem.has_parent_path() ? stem.parent_path() : fs::path(".");
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(kEnding) && gguf_stem(entry.path()).filename() == stem.filename())
      found.push_back(stem.has_parent_path() ? entry.path() : fs::path(name));
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace llmq
