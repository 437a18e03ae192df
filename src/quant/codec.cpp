#include "llmq/quant/codec.hpp"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "llmq/core/error.hpp"

#include "quant/reference/families.hpp"
#include "quant/simd/grid.hpp"
#include "quant/simd/linear.hpp"
#include "quant/simd/rounding.hpp"
#include "quant/simd/small.hpp"

namespace llmq {
namespace {

std::vector<Codec> build_registry() {
  std::vector<Codec> all;
  for (const Codec& codec : kPlainCodecs) all.push_back(codec);
  for (const Codec& codec : kLegacyCodecs) all.push_back(codec);
  for (const Codec& codec : kKCodecs) all.push_back(codec);
  for (const Codec& codec : kSmallKCodecs) all.push_back(codec);
  for (const Codec& codec : kLevelCodecs) all.push_back(codec);
  for (const Codec& codec : kTernaryCodecs) all.push_back(codec);
  for (const Codec& codec : kGridCodecs) all.push_back(codec);
  using simd::grid_encoder, simd::linear_encoder, simd::rounding_encoder, simd::small_encoder;
  for (Codec& codec : all) {
    for (const auto& find : {&rounding_encoder, &linear_encoder, &grid_encoder, &small_encoder}) {
      if (const EncodeRow fast = find(codec.type)) codec.encode = fast;
    }
  }
  std::sort(all.begin(), all.end(), [](const Codec& a, const Codec& b) { return a.type < b.type; });
  return all;
}

const Codec& require_codec(GgmlType type) {
  const Codec* codec = find_codec(type);
  if (codec != nullptr) return *codec;
  throw Error(ExitCode::unsupported_conversion,
              fmt::format("tensor type {} is not supported yet", type_name(type)));
}

/// Rows and bytes a row; sizes that do not fit are our own mistake.
std::size_t check_sizes(GgmlType type, std::size_t elems, std::uint64_t row_elems, std::size_t bytes) {
  if (row_elems == 0 || elems % row_elems != 0) throw InternalError("rows do not fit the buffer");
  const std::size_t rows = elems / row_elems;
  if (rows * row_bytes(type, row_elems) != bytes) throw InternalError("encoded rows do not fit the buffer");
  return rows;
}

}  // namespace

std::span<const Codec> codecs() noexcept {
  static const std::vector<Codec> registry = build_registry();
  return registry;
}

const Codec* find_codec(GgmlType type) noexcept {
  for (const Codec& codec : codecs()) {
    if (codec.type == type) return &codec;
  }
  return nullptr;
}

bool can_encode(GgmlType type) noexcept {
  const Codec* codec = find_codec(type);
  return codec != nullptr && codec->encode != nullptr;
}

bool can_decode(GgmlType type) noexcept {
  const Codec* codec = find_codec(type);
  return codec != nullptr && codec->decode != nullptr;
}

void encode_rows(GgmlType type, std::span<const float> weights, std::uint64_t row_elems,
                 std::span<const float> importance, std::span<std::byte> out) {
  const Codec& codec = require_codec(type);
  if (codec.encode == nullptr) {
    throw Error(ExitCode::unsupported_conversion,
                fmt::format("tensor type {} cannot be written", type_name(type)));
  }
  if (!importance.empty() && importance.size() != row_elems)
    throw InternalError("importance does not fit the rows");
  const std::size_t rows = check_sizes(type, weights.size(), row_elems, out.size());
  const std::size_t bytes = rows == 0 ? 0 : out.size() / rows;
  for (std::size_t row = 0; row < rows; ++row) {
    codec.encode(weights.subspan(row * row_elems, row_elems), importance, out.subspan(row * bytes, bytes));
  }
}

void decode_rows(GgmlType type, std::span<const std::byte> bytes, std::uint64_t row_elems,
                 std::span<float> out) {
  const Codec& codec = require_codec(type);
  check_sizes(type, out.size(), row_elems, bytes.size());
  codec.decode(bytes, out);  // blocks never span rows and rows have no padding: one run
}

}  // namespace llmq
