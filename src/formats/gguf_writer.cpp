// Writing the head of a GGUF file: first all sizes and offsets, then the bytes.
// SPDX-License-Identifier: Apache-2.0
#include <span>
#include <string>
#include <unordered_set>

#include <fmt/format.h>

#include "llmq/core/checked.hpp"
#include "llmq/core/text.hpp"
#include "llmq/formats/gguf.hpp"

#include "formats/gguf_limits.hpp"

namespace llmq {
namespace {

class ByteWriter {
 public:
  template <typename T>
  requires std::is_arithmetic_v<T>
  void number(T value) { bytes_.append(reinterpret_cast<const char*>(&value), sizeof value); }
  void string(std::string_view text) {
    number(std::uint64_t{text.size()});
    bytes_.append(text);
  }
  void pad_to(std::uint64_t alignment) { bytes_.resize(align_up(bytes_.size(), alignment), '\0'); }
  std::vector<std::byte> take() const {
    const auto bytes = std::as_bytes(std::span(bytes_));
    return {bytes.begin(), bytes.end()};
  }

 private:
  std::string bytes_;
};

/// Value type ids by the order of alternatives in GgufValue and GgufArray.
constexpr GgufValueType kValueTypes[] = {
    GgufValueType::U8,  GgufValueType::I8,  GgufValueType::U16,  GgufValueType::I16,    GgufValueType::U32,
    GgufValueType::I32, GgufValueType::F32, GgufValueType::BOOL, GgufValueType::STRING, GgufValueType::ARRAY,
    GgufValueType::U64, GgufValueType::I64, GgufValueType::F64};
constexpr GgufValueType kElementTypes[] = {GgufValueType::U8,  GgufValueType::I8,   GgufValueType::U16,
                                           GgufValueType::I16, GgufValueType::U32,  GgufValueType::I32,
                                           GgufValueType::F32, GgufValueType::BOOL, GgufValueType::STRING,
                                           GgufValueType::U64, GgufValueType::I64,  GgufValueType::F64};

void write_array(ByteWriter& out, const GgufArray& array) {
  out.number(static_cast<std::uint32_t>(kElementTypes[array.index()]));
  std::visit(
      [&](const auto& held) {
        if constexpr (std::is_same_v<std::decay_t<decltype(held)>, GgufBoolArray>) {
          out.number(std::uint64_t{held.values.size()});
          for (const std::uint8_t flag : held.values)
            out.number(static_cast<std::uint8_t>(flag != 0 ? 1 : 0));
        } else {
          out.number(std::uint64_t{held.size()});
          for (const auto& element : held) {
            if constexpr (std::is_same_v<std::decay_t<decltype(element)>, std::string>) {
              out.string(element);
            } else {
              out.number(element);
            }
          }
        }
      },
      array);
}

void write_value(ByteWriter& out, const GgufValue& value) {
  out.number(static_cast<std::uint32_t>(kValueTypes[value.index()]));
  std::visit(
      [&](const auto& held) {
        using Held = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<Held, std::string>) {
          out.string(held);
        } else if constexpr (std::is_same_v<Held, GgufArray>) {
          write_array(out, held);
        } else if constexpr (std::is_same_v<Held, bool>) {
          out.number(static_cast<std::uint8_t>(held ? 1 : 0));
        } else {
          out.number(held);
        }
      },
      value);
}

std::vector<std::byte> encode(const GgufHeader& header) {
  ByteWriter out;
  for (const char letter : gguf::kMagic) out.number(letter);
  out.number(gguf::kVersion);
  out.number(std::uint64_t{header.tensors.size()});
  out.number(std::uint64_t{header.metadata.pairs().size()});
  for (const auto& pair : header.metadata.pairs()) {
    out.string(pair.key);
    write_value(out, pair.value);
  }
  for (const GgufTensorInfo& tensor : header.tensors) {
    out.string(tensor.name);
    out.number(tensor.n_dims);
    for (std::uint32_t d = 0; d < tensor.n_dims; ++d) out.number(tensor.ne[d]);
    out.number(static_cast<std::uint32_t>(tensor.type));
    out.number(tensor.offset_bytes);
  }
  if (!header.tensors.empty()) out.pad_to(header.alignment);
  return out.take();
}

}  // namespace

std::uint64_t plan_gguf(GgufHeader& header) {
  std::unordered_set<std::string_view> names;
  std::uint64_t offset = 0;
  for (GgufTensorInfo& tensor : header.tensors) {
    if (tensor.name.empty() || tensor.name.size() > gguf::kMaxNameBytes || !is_valid_utf8(tensor.name)) {
      throw Error(ExitCode::validation,
                  fmt::format("tensor name \"{}\" is empty, not UTF-8 or longer than {} bytes", tensor.name,
                              gguf::kMaxNameBytes));
    }
    if (!names.insert(tensor.name).second) {
      throw Error(ExitCode::validation, fmt::format("tensor {} appears twice", tensor.name));
    }
    tensor.offset_bytes = offset;
    tensor.size_bytes = checked_mul(row_bytes(tensor.type, tensor.ne[0]), tensor.rows(), tensor.name);
    offset = align_up(checked_add(offset, tensor.size_bytes, "file size"), header.alignment);
  }
  header.data_start = encode(header).size();
  return checked_add(header.data_start, offset, "file size");
}

std::vector<std::byte> encode_gguf_head(const GgufHeader& header) { return encode(header); }

}  // namespace llmq
