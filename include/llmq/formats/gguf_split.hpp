// Models in several GGUF files: what the files are called, which tensor stands in which, and reading them as
// one. Rules: docs/formats/gguf.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "llmq/formats/gguf.hpp"

namespace llmq {

/// "dir/pebble-00002-of-00003.gguf": stem dir/pebble, index 1 of 3.
struct GgufShardName {
  std::filesystem::path stem;  ///< directory included
  std::uint32_t index = 0;     ///< from 0, as in split.no
  std::uint32_t count = 1;

  std::filesystem::path path() const;
};

/// Empty for other names.
std::optional<GgufShardName> parse_gguf_shard_name(const std::filesystem::path& file);

/// The path without what stands for shard and ending: "dir/pebble" for both "dir/pebble-00001-of-00003.gguf"
/// and "dir/pebble.gguf".
std::filesystem::path gguf_stem(const std::filesystem::path& file);

/// A file of a set that is to be written.
struct GgufShard {
  GgufHeader header;  ///< complete, offsets filled in
  std::uint64_t file_bytes = 0;
};

struct GgufSplit {
  std::vector<GgufShard> shards;
  std::vector<std::uint32_t> shard_of;  ///< by index of the tensors
};

/// What a shard's head adds to that of the whole, its padding included: at most so many bytes.
inline constexpr std::uint64_t kGgufShardBytes = 192;

/// Tensors keep their order. A file is closed before it exceeds `max_bytes`, head included: only one that
/// holds a single tensor, or metadata alone, can be larger. The first holds all metadata, and no tensor where
/// metadata leave no room.
/// @param whole  planned by plan_gguf
/// @throws Error(invalid_arguments) for more files than split.count can say.
GgufSplit plan_gguf_split(const GgufHeader& whole, std::uint64_t max_bytes);

/// A model of one file, or of several of which the first is given, opened as one. Nothing is read of tensors.
class GgufSet {
 public:
  /// @throws FormatError(validation) for malformed files and for files that are no set: other counts or
  /// numbers than their names say, tensors that stand twice or not at all; Error(model_not_found) for a
  /// missing file; Error(invalid_arguments) for a shard that is not the first.
  explicit GgufSet(const std::filesystem::path& first);

  /// Metadata of the first file and the tensors of all, in order. Offsets and data_start are those of each
  /// tensor's own file: use read().
  const GgufHeader& header() const noexcept { return header_; }
  const std::vector<File>& files() const noexcept { return files_; }
  std::uint64_t file_bytes() const;
  /// Fills `out` from byte `begin` of a tensor of header(). Thread-safe. @throws Error(general) on I/O.
  void read(const GgufTensorInfo& tensor, std::uint64_t begin, std::span<std::byte> out) const;
  /// Says that a tensor will be read soon. A hint.
  void will_need(const GgufTensorInfo& tensor) const noexcept;

 private:
  struct Place {
    std::uint32_t file = 0;
    std::uint64_t offset_bytes = 0;  ///< from the file's start
  };

  void add_others(const GgufShardName& first);
  void add(GgufFile file);
  const Place& place_of(const GgufTensorInfo& tensor) const noexcept;

  GgufHeader header_;
  std::vector<File> files_;
  std::vector<Place> places_;  ///< by index of the tensors
};

/// The files of the model that `path` is or leads: all of a set when it is the first of one, else itself.
/// Nothing is checked.
std::vector<std::filesystem::path> gguf_files(const std::filesystem::path& path);

/// Files beside `stem` that are called like it, alone ("STEM.gguf") or as shards of any count, by name.
std::vector<std::filesystem::path> gguf_files_of_stem(const std::filesystem::path& stem);

}  // namespace llmq
