// F32, F16, BF16: one number a weight, round to nearest even.
// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "llmq/core/half.hpp"

#include "quant/reference/families.hpp"

namespace llmq {
namespace {

void decode_f32(std::span<const std::byte> bytes, std::span<float> out) noexcept {
  if (!out.empty()) std::memcpy(out.data(), bytes.data(), out.size_bytes());
}
void encode_f32(std::span<const float> row, std::span<const float>, std::span<std::byte> out) noexcept {
  if (!row.empty()) std::memcpy(out.data(), row.data(), row.size_bytes());
}

template <auto Widen>
void decode_16(std::span<const std::byte> bytes, std::span<float> out) noexcept {
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, bytes.data() + 2 * i, 2);
    out[i] = Widen(bits);
  }
}
template <auto Narrow>
void encode_16(std::span<const float> row, std::span<const float>, std::span<std::byte> out) noexcept {
  for (std::size_t i = 0; i < row.size(); ++i) {
    const std::uint16_t bits = Narrow(row[i]);
    std::memcpy(out.data() + 2 * i, &bits, 2);
  }
}

}  // namespace

const std::array<Codec, 3> kPlainCodecs = {{
    {GgmlType::F32, &decode_f32, &encode_f32},
    {GgmlType::F16, &decode_16<&f16_to_f32>, &encode_16<&f32_to_f16>},
    {GgmlType::BF16, &decode_16<&bf16_to_f32>, &encode_16<&f32_to_bf16>},
}};

}  // namespace llmq
