#include "llmq/core/dtype.hpp"

#include <array>
#include <cstring>

#include "llmq/core/error.hpp"
#include "llmq/core/half.hpp"

namespace llmq {
namespace {
struct Row {
  std::string_view name;
  std::size_t bytes;
};
constexpr std::array<Row, 15> kRows = {{{"F64", 8},
                                        {"F32", 4},
                                        {"F16", 2},
                                        {"BF16", 2},
                                        {"I64", 8},
                                        {"I32", 4},
                                        {"I16", 2},
                                        {"I8", 1},
                                        {"U64", 8},
                                        {"U32", 4},
                                        {"U16", 2},
                                        {"U8", 1},
                                        {"BOOL", 1},
                                        {"F8_E5M2", 1},
                                        {"F8_E4M3", 1}}};
}  // namespace

std::string_view dtype_name(DType type) noexcept { return kRows[static_cast<std::size_t>(type)].name; }
std::size_t dtype_bytes(DType type) noexcept { return kRows[static_cast<std::size_t>(type)].bytes; }

std::string_view torch_dtype_name(DType type) {
  if (type == DType::F32) return "float32";
  if (type == DType::F16) return "float16";
  if (type == DType::BF16) return "bfloat16";
  throw InternalError("not a number format of weights");
}

void widen_to_f32(DType type, std::span<const std::byte> bytes, std::span<float> out) {
  if (bytes.size() != out.size() * dtype_bytes(type) || !is_weight_dtype(type)) {
    throw InternalError("widen_to_f32: sizes or type do not match");
  }
  if (out.empty()) return;
  if (type == DType::F32) {
    std::memcpy(out.data(), bytes.data(), bytes.size());
    return;
  }
  // One loop a format: bfloat16 is a shift, which the compiler turns into vector code.
  const std::byte* source = bytes.data();
  const auto widen = [&](auto to_f32) {
    for (std::size_t i = 0; i < out.size(); ++i) {
      std::uint16_t bits = 0;
      std::memcpy(&bits, source + 2 * i, 2);
      out[i] = to_f32(bits);
    }
  };
  if (type == DType::BF16) {
    widen([](std::uint16_t bits) { return bf16_to_f32(bits); });
  } else {
    widen([](std::uint16_t bits) { return f16_to_f32(bits); });
  }
}

}  // namespace llmq
