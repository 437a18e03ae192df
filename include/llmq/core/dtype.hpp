// Number formats of stored weights and their conversion to f32 rows.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace llmq {

/// Plain number formats of safetensors checkpoints.
enum class DType : std::uint8_t {
  F64,
  F32,
  F16,
  BF16,
  I64,
  I32,
  I16,
  I8,
  U64,
  U32,
  U16,
  U8,
  BOOL,
  F8_E5M2,
  F8_E4M3
};

std::string_view dtype_name(DType type) noexcept;
std::size_t dtype_bytes(DType type) noexcept;
/// "bfloat16", as configurations say F32, F16 and BF16. @throws InternalError for others.
std::string_view torch_dtype_name(DType type);
inline bool is_weight_dtype(DType type) noexcept {
  return type == DType::F32 || type == DType::F16 || type == DType::BF16;
}

/// Widens `out.size()` values (F32, F16 or BF16) to f32; exact. `bytes` holds them little-endian, any
/// alignment.
void widen_to_f32(DType type, std::span<const std::byte> bytes, std::span<float> out);

}  // namespace llmq
