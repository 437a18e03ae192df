// Products of a few rows: the bytes of their definition for every shape, on every instruction set.
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "model/torch/row_products.hpp"
#include "support/every_target.hpp"

namespace {
using namespace llmq;
using namespace llmq::torch_pass;
using Row = std::vector<float>;
using Sizes = std::vector<std::size_t>;

Row normal_values(std::size_t count, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> draw(0, 1);
  Row values(count);
  for (float& value : values) value = draw(random);
  return values;
}

/// Sixteen lanes, added in halves.
float plain_product(const float* x, const float* w, std::size_t count) {
  float lanes[16] = {};
  for (std::size_t k = 0; k < count; ++k) lanes[k % 16] += x[k] * w[k];
  for (std::size_t half = 8; half > 0; half /= 2) {
    for (std::size_t lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  }
  return lanes[0];
}

/// Rows further apart than they are long, and y that already holds something.
void expect_definition(std::size_t m, std::size_t n, std::size_t k, const std::string& target) {
  const std::size_t stride = k + 3, out_stride = n + 2;
  const Row x = normal_values(m * stride, 1), w = normal_values(n * stride, 2),
            before = normal_values(m * out_stride, 3);
  Row replaced = before, added = before;
  multiply_rows({x.data(), m, k, stride}, {w.data(), n, k, stride}, {replaced.data(), m, n, out_stride},
                Product::replace);
  multiply_rows({x.data(), m, k, stride}, {w.data(), n, k, stride}, {added.data(), m, n, out_stride},
                Product::add);
  Row wanted_replaced = before, wanted_added = before;
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      const float sum = plain_product(&x[i * stride], &w[j * stride], k);
      wanted_replaced[i * out_stride + j] = sum;
      wanted_added[i * out_stride + j] += sum;
    }
  }
  EXPECT_EQ(std::memcmp(replaced.data(), wanted_replaced.data(), 4 * replaced.size()), 0)
      << target << " " << m << " x " << n << " x " << k;
  EXPECT_EQ(std::memcmp(added.data(), wanted_added.data(), 4 * added.size()), 0) << target;
}

TEST(RowProducts, have_the_bytes_of_their_definition) {
  test::for_every_target([](const std::string& target) {
    for (const std::size_t m : Sizes{1, 2, 3, 4, 5, 6, 7, 8, 11, 32}) {
      for (const std::size_t n : Sizes{1, 3, 4, 5, 9}) {
        for (const std::size_t k : Sizes{1, 15, 16, 17, 40, 256}) expect_definition(m, n, k, target);
      }
    }
  });
}

TEST(RowProducts, a_bad_number_stays_in_its_row) {
  constexpr std::size_t kRows = 7, kIn = 20, kOut = 9;
  Row x = normal_values(kRows * kIn, 1);
  const Row w = normal_values(kOut * kIn, 2);
  x[3 * kIn + 18] = std::numeric_limits<float>::quiet_NaN();
  Row y(kRows * kOut);
  multiply_rows({x.data(), kRows, kIn, kIn}, {w.data(), kOut, kIn, kIn}, {y.data(), kRows, kOut, kOut},
                Product::replace);
  for (std::size_t i = 0; i < y.size(); ++i) EXPECT_EQ(std::isnan(y[i]), i / kOut == 3) << i;
}

TEST(RowProducts, weighted_rows_are_summed_in_their_order) {
  test::for_every_target([](const std::string& target) {
    for (const std::size_t rows : Sizes{1, 2, 77}) {
      for (const std::size_t columns : Sizes{1, 7, 16, 50, 64}) {
        const std::size_t stride = columns + 1;
        const Row weights = normal_values(rows, 1), values = normal_values(rows * stride, 2);
        Row got(columns, 5.0F), wanted(columns);
        sum_weighted_rows(weights.data(), {values.data(), rows, columns, stride}, got.data());
        for (std::size_t s = 0; s < rows; ++s) {
          for (std::size_t c = 0; c < columns; ++c) wanted[c] += weights[s] * values[s * stride + c];
        }
        EXPECT_EQ(std::memcmp(got.data(), wanted.data(), 4 * columns), 0) << target;
      }
    }
  });
}

}  // namespace
