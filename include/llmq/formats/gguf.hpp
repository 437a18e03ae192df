// GGUF v3 container: values, reading with strict checks, planning exact offsets, writing the head.
// Grammar and limits: docs/formats/gguf.md. Nothing here knows models, tokenizers or quantization.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "llmq/core/block_types.hpp"
#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"

namespace llmq {

enum class GgufValueType : std::uint32_t {
  U8 = 0,
  I8 = 1,
  U16 = 2,
  I16 = 3,
  U32 = 4,
  I32 = 5,
  F32 = 6,
  BOOL = 7,
  STRING = 8,
  ARRAY = 9,
  U64 = 10,
  I64 = 11,
  F64 = 12
};

/// Arrays are homogeneous vectors; bool arrays hold 0/1 bytes (std::vector<bool> has no spans).
struct GgufBoolArray {
  std::vector<std::uint8_t> values;
};
using GgufArray =
    std::variant<std::vector<std::uint8_t>, std::vector<std::int8_t>, std::vector<std::uint16_t>,
                 std::vector<std::int16_t>, std::vector<std::uint32_t>, std::vector<std::int32_t>,
                 std::vector<float>, GgufBoolArray, std::vector<std::string>, std::vector<std::uint64_t>,
                 std::vector<std::int64_t>, std::vector<double>>;
using GgufValue =
    std::variant<std::uint8_t, std::int8_t, std::uint16_t, std::int16_t, std::uint32_t, std::int32_t, float,
                 bool, std::string, GgufArray, std::uint64_t, std::int64_t, double>;

/// Key/value pairs in file order with look-up by key. Setting an existing key replaces its value in place.
class GgufMetadata {
 public:
  struct Pair {
    std::string key;
    GgufValue value;
  };

  void set(std::string key, GgufValue value);
  /// Adds a key known to be new, without looking for it: for readers that check duplicates themselves.
  void append(std::string key, GgufValue value) { pairs_.push_back({std::move(key), std::move(value)}); }
  const GgufValue* find(std::string_view key) const noexcept;
  bool contains(std::string_view key) const noexcept { return find(key) != nullptr; }
  const std::vector<Pair>& pairs() const noexcept { return pairs_; }

  /// Typed access; any integer type is accepted by integer() when it fits. Empty when absent or of another
  /// kind.
  std::optional<std::string> string(std::string_view key) const;
  std::optional<std::int64_t> integer(std::string_view key) const;
  std::optional<double> real(std::string_view key) const;
  std::optional<bool> boolean(std::string_view key) const;
  /// Null when absent or an array of another element type.
  const std::vector<std::string>* strings(std::string_view key) const noexcept;
  const std::vector<float>* floats(std::string_view key) const noexcept;
  const std::vector<std::int32_t>* ints(std::string_view key) const noexcept;

 private:
  std::vector<Pair> pairs_;
};

/// ne[0] is the fastest dimension (in_features); unused dimensions are 1.
struct GgufTensorInfo {
  std::string name;
  std::uint32_t n_dims = 1;
  std::array<std::uint64_t, 4> ne{1, 1, 1, 1};
  GgmlType type = GgmlType::F32;
  std::uint64_t offset_bytes = 0;  ///< relative to the data section
  std::uint64_t size_bytes = 0;    ///< without padding

  std::uint64_t row_elems() const noexcept { return ne[0]; }
  std::uint64_t rows() const noexcept { return ne[1] * ne[2] * ne[3]; }
  std::uint64_t elements() const noexcept { return rows() * row_elems(); }
};

/// A parsed file head; tensor data stays in the file.
struct GgufHeader {
  std::uint32_t version = 3;
  std::uint32_t alignment = 32;
  GgufMetadata metadata;
  std::vector<GgufTensorInfo> tensors;
  std::uint64_t data_start = 0;  ///< bytes from file start
  const GgufTensorInfo* find(std::string_view name) const noexcept;
};

/// An open GGUF file. Every rule of docs/formats/gguf.md is checked before anything of its size is allocated.
class GgufFile {
 public:
  /// @throws FormatError(format_code) for malformed files, Error(model_not_found) when missing.
  explicit GgufFile(const std::filesystem::path& path, ExitCode format_code = ExitCode::validation);
  const GgufHeader& header() const noexcept { return header_; }
  const File& file() const noexcept { return file_; }
  /// For who keeps one of the two: what is taken is no longer here.
  GgufHeader take_header() { return std::move(header_); }
  File take_file() { return std::move(file_); }
  /// Absolute byte offset of a tensor's data.
  std::uint64_t data_offset(const GgufTensorInfo& tensor) const noexcept {
    return header_.data_start + tensor.offset_bytes;
  }

 private:
  File file_;
  GgufHeader header_;
};

/// True if the file starts with the GGUF magic (false also when it cannot be read).
bool has_gguf_magic(const std::filesystem::path& path) noexcept;

/// Fills in size_bytes and offset_bytes of each tensor in order, and data_start; the file's exact size is
/// returned. @throws Error(validation) on names over 63 bytes, duplicates, rows that are no multiple of the
/// block.
std::uint64_t plan_gguf(GgufHeader& header);

/// The bytes from file start to the data section (padding included) of a planned header.
std::vector<std::byte> encode_gguf_head(const GgufHeader& header);

}  // namespace llmq
