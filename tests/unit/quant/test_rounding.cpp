// The vector encoders give the reference's bytes on every instruction set, whatever the values and the
// length.
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "quant/reference/families.hpp"
#include "quant/simd/rounding.hpp"
#include "same_bytes.hpp"

namespace llmq {
namespace {

const Codec& reference_codec(GgmlType type) {
  if (type == GgmlType::Q8_0) return kLegacyCodecs.back();
  return type == GgmlType::F16 ? kPlainCodecs[1] : kPlainCodecs[2];
}

void expect_same_bytes(GgmlType type, const std::vector<float>& row, std::string_view what) {
  const Codec& reference = reference_codec(type);
  ASSERT_EQ(reference.type, type);
  test::expect_same_bytes(reference, simd::rounding_encoder(type), row, {}, what);
}

TEST(Rounding, halves_of_all_magnitudes_equal_the_reference) {
  std::vector<float> row;
  // Every exponent, both signs, mantissas around each rounding boundary, and everything beyond finite.
  for (std::uint32_t exponent = 0; exponent < 256; ++exponent) {
    for (const std::uint32_t mantissa :
         {0u, 1u, 0xFFFu, 0x1000u, 0x1001u, 0x1FFFu, 0x2000u, 0x3000u, 0x7FFFu, 0x8000u, 0x8001u, 0x18000u,
          0x3FFFFFu, 0x400000u, 0x7FE000u, 0x7FEFFFu, 0x7FF000u, 0x7FFFFFu}) {
      row.push_back(std::bit_cast<float>((exponent << 23) | mantissa));
      row.push_back(-row.back());
    }
  }
  std::mt19937 random(3);
  for (int i = 0; i < 100000; ++i) row.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(random())));
  expect_same_bytes(GgmlType::F16, row, "all magnitudes");
  expect_same_bytes(GgmlType::BF16, row, "all magnitudes");
}

TEST(Rounding, every_length_is_written_whole) {
  for (const std::size_t length : {1u, 3u, 7u, 8u, 9u, 15u, 31u, 33u, 255u, 1000u}) {
    std::vector<float> row(length);
    for (std::size_t i = 0; i < length; ++i) row[i] = std::sin(static_cast<float>(i)) * 3;
    expect_same_bytes(GgmlType::F16, row, "short rows");
    expect_same_bytes(GgmlType::BF16, row, "short rows");
  }
}

TEST(Rounding, q8_0_blocks_equal_the_reference) {
  std::mt19937 random(4);
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> row(64 * 32);
  for (std::size_t block = 0; block < 64; ++block) {
    const float scale =
        std::ldexp(1.0F, static_cast<int>(block) * 4 - 140);  // denormals to beyond half precision
    for (std::size_t i = 0; i < 32; ++i) row[block * 32 + i] = normal(random) * scale;
  }
  std::fill_n(row.begin(), 32, 0.0F);
  for (std::size_t i = 0; i < 32; ++i) row[32 + i] = 0.5F * (static_cast<float>(i) - 16);  // ties
  row[32] = 63.5F;
  for (std::size_t i = 0; i < 32; ++i)
    row[64 + i] = std::numeric_limits<float>::max() * (i % 2 == 0 ? 1.0F : -1.0F);
  expect_same_bytes(GgmlType::Q8_0, row, "blocks of all magnitudes");
}

TEST(Rounding, a_q8_0_block_whose_scale_has_no_inverse_is_zero) {
  std::vector<float> row(32, std::numeric_limits<float>::denorm_min());
  row[0] = 0;
  expect_same_bytes(GgmlType::Q8_0, row, "the smallest denormals");
  std::vector<std::byte> block(row_bytes(GgmlType::Q8_0, row.size()), std::byte{0xFF});
  encode_rows(GgmlType::Q8_0, row, row.size(), {}, block);
  EXPECT_EQ(block, std::vector<std::byte>(block.size()));
}

}  // namespace
}  // namespace llmq
