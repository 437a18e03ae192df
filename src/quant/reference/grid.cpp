// IQ1_*, IQ2_*, IQ3_*: groups of weights are codewords of a fixed codebook, times a scale, with signs or a
// shift. SPDX-License-Identifier: Apache-2.0
#include "llmq/core/half.hpp"

#include "quant/blocks.hpp"
#include "quant/codebooks.hpp"
#include "quant/grid_encoder.hpp"
#include "quant/reference/decode_blocks.hpp"
#include "quant/reference/families.hpp"
#include "quant/reference/plain_magnitudes.hpp"
#include "quant/reference/plain_ternary.hpp"

namespace llmq {
namespace {

using blocks::kSuper;
using codebooks::Codeword;
using codebooks::even_signs;

float with_sign(float value, std::uint8_t signs, std::size_t element) {
  return ((signs >> element) & 1) != 0 ? -value : value;
}

/// Eight values of an IQ2 codeword (or two IQ3 codewords of four).
void put_group(float step, const std::int8_t* magnitudes, std::uint8_t signs, std::size_t first,
               std::size_t count, float* out) {
  for (std::size_t e = 0; e < count; ++e) {
    out[first + e] = with_sign(step * static_cast<float>(magnitudes[e]), signs, first % 8 + e);
  }
}

void decode_iq2_xxs(const blocks::IQ2_XXS& block, float* out) {
  const float d = f16_to_f32(block.d);
  for (std::size_t k = 0; k < kSuper / 8; ++k) {
    const std::uint16_t* group = block.qs + k / 4 * 4;
    const std::uint32_t word = group[2] | (static_cast<std::uint32_t>(group[3]) << 16);
    const std::size_t index = (group[k % 4 / 2] >> (8 * (k % 2))) & 255;
    const float step = d * (0.5F + static_cast<float>(word >> 28)) * 0.25F;
    put_group(step, codebooks::iq2_xxs()[index].data(), even_signs((word >> (7 * (k % 4))) & 127), k * 8, 8,
              out);
  }
}

void decode_iq2_xs(const blocks::IQ2_XS& block, float* out) {
  const float d = f16_to_f32(block.d);
  for (std::size_t k = 0; k < kSuper / 8; ++k) {
    const std::size_t half = k / 2;  // of 16 weights
    const float step = d * (0.5F + static_cast<float>(nibble(block.scales[half / 2], half % 2))) * 0.25F;
    put_group(step, codebooks::iq2_xs()[block.qs[k] & 511].data(), even_signs(block.qs[k] >> 9u), k * 8, 8,
              out);
  }
}

void decode_iq2_s(const blocks::IQ2_S& block, float* out) {
  const float d = f16_to_f32(block.d);
  for (std::size_t k = 0; k < kSuper / 8; ++k) {
    const std::size_t half = k / 2;
    const float step = d * (0.5F + static_cast<float>(nibble(block.scales[half / 2], half % 2))) * 0.25F;
    const std::size_t index = block.qs[k] + 256u * ((std::uint32_t{block.qh[k / 4]} >> (2 * (k % 4))) & 3u);
    put_group(step, codebooks::iq2_s()[index].data(), block.signs[k], k * 8, 8, out);
  }
}

void decode_iq3_xxs(const blocks::IQ3_XXS& block, float* out) {
  const float d = f16_to_f32(block.d);
  for (std::size_t a = 0; a < kSuper / 4; ++a) {
    std::uint32_t word = 0;
    std::memcpy(&word, block.signs_scales + a / 8 * 4, sizeof word);
    const float step = d * (0.5F + static_cast<float>(word >> 28)) * 0.5F;
    put_group(step, codebooks::iq3_xxs()[block.qs[a]].data(), even_signs((word >> (7 * (a % 8 / 2))) & 127),
              a * 4, 4, out);
  }
}

void decode_iq3_s(const blocks::IQ3_S& block, float* out) {
  const float d = f16_to_f32(block.d);
  for (std::size_t a = 0; a < kSuper / 4; ++a) {
    const std::size_t group = a / 8;
    const float step = d * static_cast<float>(1 + 2 * nibble(block.scales[group / 2], group % 2));
    const std::size_t index = block.qs[a] + 256u * ((std::uint32_t{block.qh[a / 8]} >> (a % 8)) & 1u);
    put_group(step, codebooks::iq3_s()[index].data(), block.signs[a / 2], a * 4, 4, out);
  }
}

void put_shifted(float step, const Codeword& word, float delta, float* out) {
  for (std::size_t e = 0; e < 8; ++e) out[e] = step * (static_cast<float>(word[e]) + delta);
}

void decode_iq1_s(const blocks::IQ1_S& block, float* out) {
  const float d = f16_to_f32(block.d);
  for (std::size_t k = 0; k < kSuper / 8; ++k) {
    const std::uint32_t high = block.qh[k / 4];
    const std::size_t index = block.qs[k] + 256u * ((high >> (3 * (k % 4))) & 7u);
    const float step = d * static_cast<float>(2 * ((high >> 12) & 7u) + 1);
    put_shifted(step, codebooks::iq1()[index], (high & 0x8000u) != 0 ? -kIq1Shift : kIq1Shift, out + 8 * k);
  }
}

void decode_iq1_m(const blocks::IQ1_M& block, float* out) {
  std::uint32_t bits = 0;
  for (std::size_t word = 0; word < 4; ++word)
    bits |= (std::uint32_t{block.scales[word]} >> 12) << (4 * word);
  const float d = f16_to_f32(static_cast<std::uint16_t>(bits));
  for (std::size_t k = 0; k < kSuper / 8; ++k) {
    const std::size_t half = k / 2;
    const auto high = static_cast<std::uint32_t>(nibble(block.qh[k / 2], k % 2));
    const std::size_t index = block.qs[k] + 256u * (high & 7u);
    const float step = d * static_cast<float>(2 * ((block.scales[half / 4] >> (3 * (half % 4))) & 7) + 1);
    put_shifted(step, codebooks::iq1()[index], (high & 8u) != 0 ? -kIq1Shift : kIq1Shift, out + 8 * k);
  }
}

}  // namespace

const std::array<Codec, 7> kGridCodecs = {{
    {GgmlType::IQ2_XXS, &decode_blocks<blocks::IQ2_XXS, kSuper, &decode_iq2_xxs>,
     &encode_grid_row<ShapeIQ2_XXS, reference::MagnitudeCells<ShapeIQ2_XXS>>},
    {GgmlType::IQ2_XS, &decode_blocks<blocks::IQ2_XS, kSuper, &decode_iq2_xs>,
     &encode_grid_row<ShapeIQ2_XS, reference::MagnitudeCells<ShapeIQ2_XS>>},
    {GgmlType::IQ2_S, &decode_blocks<blocks::IQ2_S, kSuper, &decode_iq2_s>,
     &encode_grid_row<ShapeIQ2_S, reference::MagnitudeCells<ShapeIQ2_S>>},
    {GgmlType::IQ3_XXS, &decode_blocks<blocks::IQ3_XXS, kSuper, &decode_iq3_xxs>,
     &encode_grid_row<ShapeIQ3_XXS, reference::MagnitudeCells<ShapeIQ3_XXS>>},
    {GgmlType::IQ3_S, &decode_blocks<blocks::IQ3_S, kSuper, &decode_iq3_s>,
     &encode_grid_row<ShapeIQ3_S, reference::MagnitudeCells<ShapeIQ3_S>>},
    {GgmlType::IQ1_S, &decode_blocks<blocks::IQ1_S, kSuper, &decode_iq1_s>,
     &encode_grid_row<ShapeIQ1_S, reference::TernaryCells<ShapeIQ1_S>>},
    {GgmlType::IQ1_M, &decode_blocks<blocks::IQ1_M, kSuper, &decode_iq1_m>,
     &encode_grid_row<ShapeIQ1_M, reference::TernaryCells<ShapeIQ1_M>>},
}};

}  // namespace llmq
