// The library that defines the block types, loaded at run time: the other half of every comparison.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

#include "llmq/core/block_types.hpp"

namespace llmq::bench {

class Peer {
 public:
  /// @param library path of libggml-base.so.
  /// @throws Error(general) when it cannot be loaded or lacks a function.
  explicit Peer(const std::filesystem::path& library);

  /// True if it decodes the type and agrees about the type's name and block.
  bool knows(GgmlType type) const;
  /// True if it refuses to encode without importance.
  bool requires_importance(GgmlType type) const;
  /// Builds the tables of a type, so that no measurement pays for it.
  void prepare(GgmlType type) const;
  /// Encodes whole rows; `importance` is empty or has one value a column.
  void encode(GgmlType type, std::span<const float> weights, std::uint64_t row_elems,
              std::span<const float> importance, std::span<std::byte> out) const;
  void decode(GgmlType type, std::span<const std::byte> bytes, std::span<float> out) const;

 private:
  /// The first fields of the library's table of types.
  struct Traits {
    const char* name;
    std::int64_t block_elems;
    std::int64_t interleave;
    std::size_t block_bytes;
    bool quantized;
    void (*to_float)(const void* bytes, float* out, std::int64_t count);
  };
  using GetTraits = const Traits* (*)(std::uint32_t type);
  using Prepare = void (*)(std::uint32_t type);
  using RequiresImportance = bool (*)(std::uint32_t type);
  using Encode = std::size_t (*)(std::uint32_t type, const float* weights, void* out, std::int64_t start,
                                 std::int64_t rows, std::int64_t row_elems, const float* importance);

  GetTraits traits_ = nullptr;
  Prepare prepare_ = nullptr;
  RequiresImportance requires_importance_ = nullptr;
  Encode encode_ = nullptr;
};

}  // namespace llmq::bench
