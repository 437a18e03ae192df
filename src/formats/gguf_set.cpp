// Reading a model of several GGUF files. Every file is checked as one alone is; what they say of each other
// is checked here. SPDX-License-Identifier: Apache-2.0
#include <unordered_set>

#include <fmt/format.h>

#include "llmq/core/checked.hpp"
#include "llmq/formats/gguf_split.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCount = "split.count";
constexpr const char* kNumber = "split.no";
constexpr const char* kTensors = "split.tensors.count";

/// Files that the file says its set has; 1 for one alone, which may say 0.
std::int64_t shards_of(const GgufMetadata& metadata) {
  const std::int64_t count = metadata.integer(kCount).value_or(1);
  return count == 0 ? 1 : count;
}

[[noreturn]] void fail(const fs::path& file, std::string reason, std::string suggestion = {}) {
  throw FormatError(ExitCode::validation, file.string(), FormatError::kNoOffset, std::move(reason),
                    std::move(suggestion));
}

/// The name of a set's first file, once it is known to be that.
GgufShardName check_first(const fs::path& path, const GgufMetadata& metadata) {
  const std::int64_t count = shards_of(metadata), number = metadata.integer(kNumber).value_or(-1);
  std::optional<GgufShardName> name = parse_gguf_shard_name(path);
  if (number < 0 || number >= count)
    fail(path, fmt::format("{} is {}, {} is {}", kNumber, number, kCount, count));
  if (number != 0) {
    if (name) name->index = 0;
    throw Error(ExitCode::invalid_arguments,
                fmt::format("{}: is part {} of a model in {} files", path.string(), number + 1, count),
                name ? fmt::format("Give the first of them: {}", name->path().string())
                     : "Give the first of them, NAME-00001-of-0000N.gguf");
  }
  if (name && name->index == 0 && name->count == count) return *name;
  fail(path,
       fmt::format("is the first of {} files, whose name must end in -00001-of-{:05}.gguf", count, count),
       "Give the files of a set back the names they were made with");
}

void check_member(const fs::path& path, const GgufMetadata& metadata, const GgufShardName& name) {
  const auto number = metadata.integer(kNumber), count = metadata.integer(kCount);
  if (number == std::int64_t{name.index} && count == std::int64_t{name.count}) return;
  const auto text = [](std::optional<std::int64_t> value) {
    return value ? std::to_string(*value) : std::string("missing");
  };
  fail(path,
       fmt::format("{} is {}, {} is {}: expected {} and {}", kNumber, text(number), kCount, text(count),
                   name.index, name.count),
       "The file is of another set; fetch it again");
}

void check_tensors(const fs::path& first, const GgufHeader& header) {
  const auto count = header.metadata.integer(kTensors);
  if (count && std::cmp_equal(*count, header.tensors.size())) return;
  fail(first,
       count ? fmt::format("{} is {}, the files hold {} tensors", kTensors, *count, header.tensors.size())
             : fmt::format("{} is missing", kTensors));
}

}  // namespace

GgufSet::GgufSet(const fs::path& path) {
  GgufFile first(path);
  const bool alone = shards_of(first.header().metadata) == 1;
  const GgufShardName name = alone ? GgufShardName{} : check_first(path, first.header().metadata);
  add(std::move(first));
  if (alone) return;
  add_others(name);
  check_tensors(path, header_);
}

void GgufSet::add_others(const GgufShardName& first) {
  std::unordered_set<std::string> seen;
  for (const GgufTensorInfo& tensor : header_.tensors) seen.insert(tensor.name);
  for (GgufShardName name = first; ++name.index < first.count;) {
    const fs::path path = name.path();
    if (!fs::exists(path)) {
      throw Error(ExitCode::model_not_found,
                  fmt::format("{}: no such file: part {} of a model in {} files", path.string(),
                              name.index + 1, name.count),
                  "Put all files of the set into one directory");
    }
    GgufFile file(path);
    check_member(path, file.header().metadata, name);
    for (const GgufTensorInfo& tensor : file.header().tensors) {
      if (!seen.insert(tensor.name).second)
        fail(path, fmt::format("tensor {} stands in an earlier file of the set, too", tensor.name));
    }
    add(std::move(file));
  }
}

void GgufSet::add(GgufFile file) {
  const auto index = checked_cast<std::uint32_t>(files_.size(), "files of a set");
  for (const GgufTensorInfo& tensor : file.header().tensors)
    places_.push_back({index, file.data_offset(tensor)});
  GgufHeader header = file.take_header();
  if (index == 0) {
    header_ = std::move(header);
  } else {
    header_.tensors.insert(header_.tensors.end(), std::make_move_iterator(header.tensors.begin()),
                           std::make_move_iterator(header.tensors.end()));
  }
  files_.push_back(file.take_file());
}

std::uint64_t GgufSet::file_bytes() const {
  std::uint64_t bytes = 0;
  for (const File& file : files_) bytes = checked_add(bytes, file.size(), "size of a model");
  return bytes;
}

const GgufSet::Place& GgufSet::place_of(const GgufTensorInfo& tensor) const noexcept {
  return places_[static_cast<std::size_t>(&tensor - header_.tensors.data())];
}

void GgufSet::read(const GgufTensorInfo& tensor, std::uint64_t begin, std::span<std::byte> out) const {
  const Place& place = place_of(tensor);
  files_[place.file].read_at(out, place.offset_bytes + begin);
}

void GgufSet::will_need(const GgufTensorInfo& tensor) const noexcept {
  const Place& place = place_of(tensor);
  files_[place.file].will_need(place.offset_bytes, tensor.size_bytes);
}

std::vector<fs::path> gguf_files(const fs::path& path) {
  const std::optional<GgufShardName> name = parse_gguf_shard_name(path);
  if (!name || name->index != 0 || !has_gguf_magic(path)) return {path};
  try {
    if (shards_of(GgufFile(path).header().metadata) != name->count) return {path};
  } catch (const Error&) {
    return {path};
  }
  std::vector<fs::path> files = {path};
  for (GgufShardName other = *name; ++other.index < name->count;) files.push_back(other.path());
  return files;
}

}  // namespace llmq
