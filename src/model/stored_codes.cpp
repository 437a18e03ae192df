#include "model/stored_codes.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "llmq/core/error.hpp"

namespace llmq {
namespace {

std::vector<float> read_scales(const SafetensorsCheckpoint& checkpoint, const SafetensorsTensor& tensor,
                               const std::vector<std::uint64_t>& shape) {
  const auto fail = [&](const std::string& what) {
    throw Error(ExitCode::validation, fmt::format("tensor {} {}", tensor.name, what),
                "docs/formats/w8a8.md has the layout");
  };
  if (!is_weight_dtype(tensor.dtype)) fail(fmt::format("is {}, not F32 or BF16", dtype_name(tensor.dtype)));
  if (tensor.shape != shape)
    fail(fmt::format("has the shape [{}], not [{}]", fmt::join(tensor.shape, ", "), fmt::join(shape, ", ")));
  std::vector<std::byte> bytes(tensor.size_bytes);
  checkpoint.read(tensor, 0, bytes);
  std::vector<float> scales(tensor.size_bytes / dtype_bytes(tensor.dtype));
  widen_to_f32(tensor.dtype, bytes, scales);
  for (const float scale : scales) {
    if (!(scale >= 0) || !std::isfinite(scale)) fail(fmt::format("holds {}, which is no scale", scale));
  }
  return scales;
}

}  // namespace

void StoredCodes::add(const SafetensorsCheckpoint& checkpoint, const SafetensorsTensor& weight,
                      std::set<std::string_view>& used) {
  const SafetensorsTensor* rows = checkpoint.find(weight.name + "_scale");
  if (rows == nullptr || weight.shape.size() != 2) {
    throw Error(ExitCode::validation, fmt::format("tensor {} is I8 and has no weight_scale", weight.name),
                "docs/formats/w8a8.md has the layout");
  }
  Scales scales{read_scales(checkpoint, *rows, {weight.shape[0], 1}), 0};
  used.insert(rows->name);
  const std::string module = weight.name.substr(0, weight.name.rfind('.'));
  if (const SafetensorsTensor* input = checkpoint.find(module + ".input_scale"); input != nullptr) {
    scales.input = read_scales(checkpoint, *input, {1})[0];
    used.insert(input->name);
  }
  scales_.emplace(weight.name, std::move(scales));
}

void StoredCodes::decode(const SafetensorsCheckpoint& checkpoint, const SafetensorsTensor& weight,
                         std::uint64_t first, std::span<float> out) const {
  const std::span<const float> rows = scales(weight.name);
  const std::uint64_t width = weight.shape[1];
  constexpr std::size_t kPiece = std::size_t{64} << 10;  // stays in L2 between reading and decoding
  thread_local std::vector<std::int8_t> codes;
  for (std::size_t done = 0; done < out.size(); done += kPiece) {
    const std::size_t count = std::min(kPiece, out.size() - done);
    codes.resize(count);
    checkpoint.read(weight, first + done, std::as_writable_bytes(std::span(codes)));
    for (std::size_t i = 0; i < count; ++i)
      out[done + i] = static_cast<float>(codes[i]) * rows[(first + done + i) / width];
  }
}

}  // namespace llmq
