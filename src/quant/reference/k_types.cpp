// Q4_K, Q5_K, Q6_K: super-blocks of 256 with scales quantized a second time.
// First every sub-block finds its own scale (and minimum), then these become 6-bit (Q6_K: 8-bit) multiples of
// one half-precision scale, then the codes are found again for the values that will really be decoded.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "quant/blocks.hpp"
#include "quant/reference/families.hpp"
#include "quant/reference/search.hpp"
#include "quant/reference/weights.hpp"

namespace llmq {
namespace {

using blocks::kSuper;
constexpr float kZeroGroup = 1e-15F;

/// Nearest level of x/step in [low, high]; far-off ratios are cut before rounding so that it stays exact.
int nearest_level(float ratio, int low, int high) noexcept {
  return search::clamp(search::round_to_int(std::clamp(ratio, -1024.0F, 1024.0F)), low, high);
}

struct ScaleMinCodes {
  std::array<std::uint8_t, 8> scale{};
  std::array<std::uint8_t, 8> min{};
};

/// Eight 6-bit pairs in 12 bytes: the first four plain, the high bits of the last four spread over the first
/// eight.
void pack_scales(const ScaleMinCodes& codes, std::uint8_t* out) noexcept {
  for (std::size_t j = 0; j < 4; ++j) {
    out[j] = static_cast<std::uint8_t>(codes.scale[j] | ((codes.scale[j + 4] >> 4) << 6));
    out[j + 4] = static_cast<std::uint8_t>(codes.min[j] | ((codes.min[j + 4] >> 4) << 6));
    out[j + 8] = static_cast<std::uint8_t>((codes.scale[j + 4] & 15) | ((codes.min[j + 4] & 15) << 4));
  }
}

ScaleMinCodes unpack_scales(const std::uint8_t* in) noexcept {
  ScaleMinCodes codes;
  for (std::size_t j = 0; j < 4; ++j) {
    codes.scale[j] = in[j] & 63;
    codes.min[j] = in[j + 4] & 63;
    codes.scale[j + 4] = static_cast<std::uint8_t>((in[j + 8] & 15) | ((in[j] >> 6) << 4));
    codes.min[j + 4] = static_cast<std::uint8_t>((in[j + 8] >> 4) | ((in[j + 4] >> 6) << 4));
  }
  return codes;
}

template <typename Block>
constexpr bool kFiveBits = requires(Block b) {
  b.qh[0];
};

template <typename Block>
void pack_codes(const std::array<std::uint8_t, kSuper>& codes, Block& block) noexcept {
  for (std::size_t i = 0; i < kSuper; i += 64) {
    for (std::size_t l = 0; l < 32; ++l) {
      block.qs[i / 2 + l] = static_cast<std::uint8_t>((codes[i + l] & 15) | ((codes[i + 32 + l] & 15) << 4));
    }
  }
  if constexpr (kFiveBits<Block>) {
    std::fill(std::begin(block.qh), std::end(block.qh), std::uint8_t{0});
    for (std::size_t i = 0; i < kSuper; ++i) {
      block.qh[i % 32] = static_cast<std::uint8_t>(block.qh[i % 32] | ((codes[i] >> 4) << (i / 32)));
    }
  }
}

template <typename Block>
void decode_scale_min(std::span<const std::byte> bytes, std::span<float> out) noexcept {
  for (std::size_t index = 0; index < out.size() / kSuper; ++index) {
    Block block;
    std::memcpy(&block, bytes.data() + index * sizeof(Block), sizeof(Block));
    const ScaleMinCodes pairs = unpack_scales(block.scales);
    const float d = f16_to_f32(block.d);
    const float dmin = f16_to_f32(block.dmin);
    for (std::size_t j = 0; j < 8; ++j) {
      const float scale = d * static_cast<float>(pairs.scale[j]);
      const float minimum = dmin * static_cast<float>(pairs.min[j]);
      for (std::size_t l = 0; l < 32; ++l) {
        int code = (block.qs[j / 2 * 32 + l] >> (4 * (j % 2))) & 15;
        if constexpr (kFiveBits<Block>) code += ((block.qh[l] >> j) & 1) << 4;
        out[index * kSuper + j * 32 + l] = scale * static_cast<float>(code) - minimum;
      }
    }
  }
}

/// Eight values to 6-bit codes of one half-precision unit. @returns the unit, rounded to half.
std::uint16_t quantize_six_bits(const std::array<float, 8>& values, const std::array<float, 8>& weights,
                                bool weighted, std::array<std::uint8_t, 8>& codes) noexcept {
  if (weighted) return scale_to_half(search::non_negative(63, values, weights, codes));
  const float top = *std::max_element(values.begin(), values.end());
  const float inverse = top > 0 ? 63 / top : 0;
  for (std::size_t j = 0; j < 8; ++j)
    codes[j] = static_cast<std::uint8_t>(nearest_level(inverse * values[j], 0, 63));
  return scale_to_half(top / 63);
}

template <typename Block>
void encode_super_block(std::span<const float> x, std::span<const float> importance, Block& block) noexcept {
  constexpr int top = kFiveBits<Block> ? 31 : 15;
  constexpr search::AsymmetricWalk plain = kFiveBits<Block> ? search::AsymmetricWalk{31, -0.5F, 0.1F, 15}
                                                            : search::AsymmetricWalk{15, -1.0F, 0.1F, 20};
  const search::AsymmetricWalk walk =
      importance.empty() ? plain : search::AsymmetricWalk{top, -0.9F, 0.05F, 36};
  const float sigma2 = importance.empty() ? 0 : 2 * mean_square(x);
  std::array<std::uint8_t, kSuper> codes{};
  std::array<float, 8> scales{};
  std::array<float, 8> minima{};
  std::array<float, 8> group_weights{};
  for (std::size_t j = 0; j < 8; ++j) {
    const std::span<const float> group = x.subspan(j * 32, 32);
    std::array<float, 32> weights{};
    if (importance.empty()) {
      const float spread = std::sqrt(mean_square(group));
      for (std::size_t l = 0; l < 32; ++l) weights[l] = spread + std::fabs(group[l]);
    } else {
      weigh(group, importance.subspan(j * 32, 32), sigma2, weights);
    }
    for (const float weight : weights) group_weights[j] += weight;
    const auto found = search::asymmetric(walk, group, weights, std::span(codes).subspan(j * 32, 32));
    scales[j] = found.d;
    minima[j] = found.min;
  }
  ScaleMinCodes pairs;
  block.d = quantize_six_bits(scales, group_weights, !importance.empty(), pairs.scale);
  block.dmin = quantize_six_bits(minima, group_weights, !importance.empty(), pairs.min);
  pack_scales(pairs, block.scales);
  for (std::size_t j = 0; j < 8; ++j) {
    const float scale = f16_to_f32(block.d) * static_cast<float>(pairs.scale[j]);
    if (scale == 0) continue;
    const float minimum = f16_to_f32(block.dmin) * static_cast<float>(pairs.min[j]);
    for (std::size_t i = j * 32; i < j * 32 + 32; ++i) {
      codes[i] = static_cast<std::uint8_t>(nearest_level((x[i] + minimum) / scale, 0, top));
    }
  }
  pack_codes(codes, block);
}

template <typename Block>
void encode_scale_min(std::span<const float> row, std::span<const float> importance,
                      std::span<std::byte> out) noexcept {
  for (std::size_t index = 0; index < row.size() / kSuper; ++index) {
    Block block{};
    encode_super_block(row.subspan(index * kSuper, kSuper),
                       importance.empty() ? importance : importance.subspan(index * kSuper, kSuper), block);
    std::memcpy(out.data() + index * sizeof(Block), &block, sizeof(Block));
  }
}

void decode_q6_k(std::span<const std::byte> bytes, std::span<float> out) noexcept {
  for (std::size_t index = 0; index < out.size() / kSuper; ++index) {
    blocks::Q6_K block;
    std::memcpy(&block, bytes.data() + index * sizeof block, sizeof block);
    const float d = f16_to_f32(block.d);
    for (std::size_t i = 0; i < kSuper; ++i) {
      const std::size_t half = i / 128, s = i % 128 / 32, l = i % 32;
      const int low = (block.ql[64 * half + 32 * (s % 2) + l] >> (4 * (s / 2))) & 15;
      const int high = (block.qh[32 * half + l] >> (2 * s)) & 3;
      out[index * kSuper + i] =
          d * static_cast<float>(block.scales[i / 16]) * static_cast<float>(low + 16 * high - 32);
    }
  }
}

void pack_q6_k(const std::array<std::uint8_t, kSuper>& codes, blocks::Q6_K& block) noexcept {
  for (std::size_t i = 0; i < kSuper; ++i) {
    const std::size_t half = i / 128, s = i % 128 / 32, l = i % 32;
    std::uint8_t& low = block.ql[64 * half + 32 * (s % 2) + l];
    low = static_cast<std::uint8_t>(low | ((codes[i] & 15) << (4 * (s / 2))));
    std::uint8_t& high = block.qh[32 * half + l];
    high = static_cast<std::uint8_t>(high | ((codes[i] >> 4) << (2 * s)));
  }
}

void encode_q6_k_block(std::span<const float> x, std::span<const float> importance,
                       blocks::Q6_K& block) noexcept {
  std::array<std::uint8_t, kSuper> codes{};
  std::array<float, 16> scales{};
  float top = 0;
  for (std::size_t j = 0; j < 16; ++j) {
    const std::span<const float> group = x.subspan(j * 16, 16);
    std::array<float, 16> weights{};
    bool any = false;
    for (std::size_t l = 0; l < 16; ++l) {
      weights[l] = importance.empty() ? group[l] * group[l] : importance[j * 16 + l];
      any = any || weights[l] > 0;
    }
    if (!any) weights.fill(1);
    scales[j] = search::symmetric(32, group, weights, std::span(codes).subspan(j * 16, 16));
    if (std::fabs(scales[j]) > std::fabs(top)) top = scales[j];
  }
  if (std::fabs(top) < kZeroGroup) return;
  const float inverse = -128 / top;
  block.d = scale_to_half(1 / inverse);
  const float d = f16_to_f32(block.d);
  for (std::size_t j = 0; j < 16; ++j) {
    block.scales[j] = static_cast<std::int8_t>(nearest_level(inverse * scales[j], -128, 127));
    const float scale = d * static_cast<float>(block.scales[j]);
    if (scale == 0) continue;
    for (std::size_t i = j * 16; i < j * 16 + 16; ++i) {
      codes[i] = static_cast<std::uint8_t>(nearest_level(x[i] / scale, -32, 31) + 32);
    }
  }
  pack_q6_k(codes, block);
}

void encode_q6_k(std::span<const float> row, std::span<const float> importance,
                 std::span<std::byte> out) noexcept {
  for (std::size_t index = 0; index < row.size() / kSuper; ++index) {
    blocks::Q6_K block{};
    encode_q6_k_block(row.subspan(index * kSuper, kSuper),
                      importance.empty() ? importance : importance.subspan(index * kSuper, kSuper), block);
    std::memcpy(out.data() + index * sizeof block, &block, sizeof block);
  }
}

}  // namespace

const std::array<Codec, 3> kKCodecs = {{
    {GgmlType::Q4_K, &decode_scale_min<blocks::Q4_K>, &encode_scale_min<blocks::Q4_K>},
    {GgmlType::Q5_K, &decode_scale_min<blocks::Q5_K>, &encode_scale_min<blocks::Q5_K>},
    {GgmlType::Q6_K, &decode_q6_k, &encode_q6_k},
}};

}  // namespace llmq
