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

static_assert(sizeof(Q4_0) == 18 && sizeof(Q4_1) == 20 && sizeof(Q5_0) == 22 && sizeof(Q5_1) == 24);
static_assert(sizeof(Q8_0) == 34 && sizeof(Q4_K) == 144 && sizeof(Q5_K) == 176 && sizeof(Q6_K) == 210);

}  // namespace llmq::blocks
