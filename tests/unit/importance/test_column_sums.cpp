// The statistics kernel: the bytes of plain loops on every instruction set, at any width.
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "importance/column_sums.hpp"
#include "support/every_target.hpp"

namespace {
using namespace llmq;

TilePartials plain_sums(const std::vector<float>& x, std::size_t tokens, std::size_t stride,
                        std::size_t width) {
  TilePartials tile;
  for (std::size_t token = 0; token < tokens; ++token) {
    for (std::size_t j = 0; j < width; ++j) {
      const double value = x[token * stride + j];
      tile.sum[j] += value;
      tile.sum_sq[j] += value * value;
      tile.sum_quad[j] += (value * value) * (value * value);
      tile.max_abs[j] = std::max(tile.max_abs[j], std::fabs(x[token * stride + j]));
    }
  }
  return tile;
}

TEST(ColumnSums, every_target_gives_the_bytes_of_plain_loops) {
  std::mt19937 random(5);
  std::normal_distribution<float> draw(0.1F, 3.0F);
  test::for_every_target([&](const std::string& target) {
    for (const std::size_t width : {1u, 3u, 7u, 8u, 9u, 31u, 256u, 500u, 512u}) {
      for (const std::size_t tokens : {1u, 7u, 8u, 9u, 64u, 131u}) {
        const std::size_t stride = width + 5;
        std::vector<float> x(tokens * stride);
        for (float& value : x) value = draw(random);
        TilePartials tile;

        add_rows_to_tile(x.data(), tokens, stride, width, tile);

        const TilePartials wanted = plain_sums(x, tokens, stride, width);
        EXPECT_EQ(std::memcmp(&tile, &wanted, sizeof tile), 0) << target << ": " << tokens << " x " << width;
      }
    }
  });
}

TEST(ColumnSums, a_bad_number_reaches_the_sums_of_its_column_only) {
  constexpr std::size_t kTokens = 20, kWidth = 37;
  test::for_every_target([&](const std::string& target) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity()}) {
      for (std::size_t place = 0; place < kTokens * kWidth; place += 19) {
        std::vector<float> x(kTokens * kWidth, 1.0F);
        x[place] = bad;
        TilePartials tile;

        add_rows_to_tile(x.data(), kTokens, kWidth, kWidth, tile);

        for (std::size_t j = 0; j < kWidth; ++j)
          EXPECT_EQ(std::isfinite(tile.sum_sq[j]), j != place % kWidth) << target << " at " << place;
      }
    }
  });
}

}  // namespace
