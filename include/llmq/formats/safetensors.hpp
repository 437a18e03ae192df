// Safetensors checkpoints: one file or shards with an index. Rules: docs/formats/safetensors.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "llmq/core/dtype.hpp"
#include "llmq/core/file.hpp"

namespace llmq {

struct SafetensorsTensor {
  std::string name;
  DType dtype = DType::F32;
  std::vector<std::uint64_t> shape;  ///< row-major, e.g. [out_features, in_features]
  std::uint64_t offset_bytes = 0;    ///< from file start
  std::uint64_t size_bytes = 0;
  std::size_t shard = 0;  ///< index into shards()
};

/// What a header says of the file as a whole.
using SafetensorsMetadata = std::map<std::string, std::string>;

/// Metadata of an open file; none is an empty map. What the header says of tensors is not looked at, so that
/// a file cut short still tells what it was. @throws FormatError(validation) without a header.
SafetensorsMetadata read_safetensors_metadata(const File& file);

/// All tensors of a checkpoint directory (or of one .safetensors file), opened read-only.
class SafetensorsCheckpoint {
 public:
  /// @param path directory with model.safetensors, or model.safetensors.index.json and its shards, or one
  /// file.
  /// @throws Error(model_not_found) when no weights or a shard is missing, FormatError(validation) when
  /// malformed.
  explicit SafetensorsCheckpoint(const std::filesystem::path& path);

  const std::vector<SafetensorsTensor>& tensors() const noexcept { return tensors_; }  ///< sorted by name
  const SafetensorsTensor* find(std::string_view name) const noexcept;
  /// Reads `out.size()` bytes of a tensor from byte `begin` of its data. Thread-safe.
  void read(const SafetensorsTensor& tensor, std::uint64_t begin, std::span<std::byte> out) const;
  std::uint64_t total_bytes() const noexcept;  ///< sum of tensor bytes
  const std::vector<File>& shards() const noexcept { return shards_; }
  /// Cheap content identity: SHA-256 over names, dtypes, shapes, sizes and three 4 KiB samples of every
  /// tensor. Independent of paths, shard layout and times.
  std::string fingerprint() const;

 private:
  std::vector<File> shards_;
  std::vector<SafetensorsTensor> tensors_;
};

}  // namespace llmq
