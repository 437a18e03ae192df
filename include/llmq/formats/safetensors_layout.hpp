// Safetensors files to write: which tensor stands where, known before any of its bytes. Rules:
// docs/formats/safetensors.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "llmq/core/dtype.hpp"
#include "llmq/formats/safetensors.hpp"

namespace llmq {

/// A tensor to be written.
struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::F32;
  std::vector<std::uint64_t> shape;
};

/// Where its data go.
struct SafetensorsPlace {
  std::size_t shard = 0;
  std::uint64_t offset_bytes = 0;  ///< from the start of the shard's file
  std::uint64_t size_bytes = 0;
};

struct SafetensorsShard {
  std::string file_name;  ///< "model.safetensors" or "model-00001-of-00003.safetensors"
  std::string head;       ///< length, JSON and padding: the file's first bytes
  std::uint64_t file_bytes = 0;
};

struct SafetensorsLayout {
  std::vector<SafetensorsShard> shards;
  std::vector<SafetensorsPlace> places;  ///< by index of the entries
  std::string index;                     ///< text of model.safetensors.index.json; empty for a single file
};

/// Entries keep their order; a shard is closed before its data exceed `shard_bytes`, but holds at least one
/// tensor. In a shard tensors stand by falling size of their numbers, then in order, so that each is aligned.
/// @param metadata  of every file; "format" = "pt" is what other readers of weights ask for
/// @throws Error(validation) for equal or empty names and sizes that overflow, InternalError for no entries.
SafetensorsLayout plan_safetensors(const std::vector<SafetensorsEntry>& entries, std::uint64_t shard_bytes,
                                   const SafetensorsMetadata& metadata = {{"format", "pt"}});

}  // namespace llmq
