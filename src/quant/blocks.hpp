// Layouts of blocks as they stand in files: packed, little-endian. Element order: docs/formats/blocks.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>

namespace llmq::blocks {

static_assert(std::endian::native == std::endian::little,
              "blocks are read and written as they stand in memory");

inline constexpr int kSmall = 32;   ///< weights of a linear block
inline constexpr int kSuper = 256;  ///< weights of a super-block

// Element i < 16 is the low nibble of qs[i], element i + 16 the high nibble. y = d (q - 8)
struct Q4_0 {
  std::uint16_t d;
  std::uint8_t qs[16];
};
// y = d q + m
struct Q4_1 {
  std::uint16_t d, m;
  std::uint8_t qs[16];
};
// Fifth bit of element i: bit i of qh. y = d (q - 16)
struct Q5_0 {
  std::uint16_t d;
  std::uint8_t qh[4];
  std::uint8_t qs[16];
};
struct Q5_1 {
  std::uint16_t d, m;
  std::uint8_t qh[4];
  std::uint8_t qs[16];
};
// y = d q
struct Q8_0 {
  std::uint16_t d;
  std::int8_t qs[32];
};
// Eight sub-blocks of 32 with 6-bit scales s and minima m. y = d s q - dmin m
struct Q4_K {
  std::uint16_t d, dmin;
  std::uint8_t scales[12];
  std::uint8_t qs[128];
};
struct Q5_K {
  std::uint16_t d, dmin;
  std::uint8_t scales[12];
  std::uint8_t qh[32];
  std::uint8_t qs[128];
};
// Sixteen sub-blocks of 16 with signed 8-bit scales. y = d scale (q - 32)
struct Q6_K {
  std::uint8_t ql[128];
  std::uint8_t qh[64];
  std::int8_t scales[16];
  std::uint16_t d;
};

// Sixteen sub-blocks of 16: scale in the low, minimum in the high nibble of scales[j]. y = d s q - dmin m
struct Q2_K {
  std::uint8_t scales[16];
  std::uint8_t qs[64];
  std::uint16_t d, dmin;
};
// Sixteen sub-blocks of 16 with six-bit scales; hmask holds the third bit of the codes. y = d (s - 32) (q -
// 4)
struct Q3_K {
  std::uint8_t hmask[32];
  std::uint8_t qs[64];
  std::uint8_t scales[12];
  std::uint16_t d;
};
// y = d level[q]
struct IQ4_NL {
  std::uint16_t d;
  std::uint8_t qs[16];
};
// Eight sub-blocks of 32 with six-bit scales. y = d (s - 32) level[q]
struct IQ4_XS {
  std::uint16_t d, scales_high;
  std::uint8_t scales_low[4];
  std::uint8_t qs[128];
};
// Groups of 32: four codewords of eight, then four seven-bit sign codes and a four-bit scale in one word.
struct IQ2_XXS {
  std::uint16_t d;
  std::uint16_t qs[32];
};
// Groups of eight: codeword in nine bits, sign code in seven; a scale for each 16.
struct IQ2_XS {
  std::uint16_t d;
  std::uint16_t qs[32];
  std::uint8_t scales[8];
};
struct IQ2_S {
  std::uint16_t d;
  std::uint8_t qs[32];
  std::uint8_t signs[32];
  std::uint8_t qh[8];
  std::uint8_t scales[8];
};
// Codewords of four; signs and scale of a group of 32 as in IQ2_XXS.
struct IQ3_XXS {
  std::uint16_t d;
  std::uint8_t qs[64];
  std::uint8_t signs_scales[32];
};
struct IQ3_S {
  std::uint16_t d;
  std::uint8_t qs[64];
  std::uint8_t qh[8];
  std::uint8_t signs[32];
  std::uint8_t scales[4];
};
// Groups of 32: 11-bit codewords of eight, a three-bit scale, the sign of the shift.
struct IQ1_S {
  std::uint16_t d;
  std::uint8_t qs[32];
  std::uint16_t qh[8];
};
// Groups of 16 with three-bit scales; a shift for each eight. The half-precision scale is spread over the top
// nibbles.
struct IQ1_M {
  std::uint8_t qs[32];
  std::uint8_t qh[16];
  std::uint16_t scales[4];
};
// Five trits a byte, y = d (t - 1)
struct TQ1_0 {
  std::uint8_t qs[48];
  std::uint8_t qh[4];
  std::uint16_t d;
};
struct TQ2_0 {
  std::uint8_t qs[64];
  std::uint16_t d;
};
// y = 2^(e - 128) level[q]
struct MXFP4 {
  std::uint8_t e;
  std::uint8_t qs[16];
};
// Four sub-blocks of 16 with unsigned eight-bit float scales.
struct NVFP4 {
  std::uint8_t scales[4];
  std::uint8_t qs[32];
};
// y = +d or -d
struct Q1_0 {
  std::uint16_t d;
  std::uint8_t bits[16];
};
// y = d (q - 1)
struct Q2_0 {
  std::uint16_t d;
  std::uint8_t qs[16];
};

static_assert(sizeof(Q4_0) == 18 && sizeof(Q4_1) == 20 && sizeof(Q5_0) == 22 && sizeof(Q5_1) == 24);
static_assert(sizeof(Q8_0) == 34 && sizeof(Q4_K) == 144 && sizeof(Q5_K) == 176 && sizeof(Q6_K) == 210);
static_assert(sizeof(Q2_K) == 84 && sizeof(Q3_K) == 110 && sizeof(IQ4_NL) == 18 && sizeof(IQ4_XS) == 136);
static_assert(sizeof(IQ2_XXS) == 66 && sizeof(IQ2_XS) == 74 && sizeof(IQ2_S) == 82);
static_assert(sizeof(IQ3_XXS) == 98 && sizeof(IQ3_S) == 110 && sizeof(IQ1_S) == 50 && sizeof(IQ1_M) == 56);
static_assert(sizeof(TQ1_0) == 54 && sizeof(TQ2_0) == 66 && sizeof(MXFP4) == 17 && sizeof(NVFP4) == 36);
static_assert(sizeof(Q1_0) == 18 && sizeof(Q2_0) == 18);

}  // namespace llmq::blocks
