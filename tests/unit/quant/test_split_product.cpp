// Products through two digits a value are near those in f32, whatever a row holds, and the same bits on every
// instruction set.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include <gtest/gtest.h>

#include "llmq/quant/split_product.hpp"

#include "support/every_target.hpp"

namespace llmq {
namespace {

struct Matrices {
  std::size_t rows, outputs, inputs;
  std::vector<float> x, w, bias;
};

Matrices normal_matrices(std::size_t rows, std::size_t outputs, std::size_t inputs) {
  std::mt19937 random(11);
  std::normal_distribution<float> draw;
  Matrices made{
      rows, outputs, inputs, std::vector<float>(rows * inputs), std::vector<float>(outputs * inputs), {}};
  for (float& value : made.x) value = draw(random);
  for (float& value : made.w) value = 0.02F * draw(random);
  return made;
}

std::vector<float> product(const Matrices& given, Int8Output output = Int8Output::replace,
                           float before = NAN) {
  SplitWeights weights(given.outputs, given.inputs);
  const std::size_t half = given.outputs / 2;  // in two goes
  weights.set_outputs(0, std::span(given.w).first(half * given.inputs));
  weights.set_outputs(half, std::span(given.w).subspan(half * given.inputs));
  std::vector<float> y(given.rows * given.outputs, before);
  split_matmul(given.x, weights, given.bias, y, output);
  return y;
}

double exact(const Matrices& given, std::size_t row, std::size_t n) {
  double sum = given.bias.empty() ? 0 : static_cast<double>(given.bias[n]);
  for (std::size_t k = 0; k < given.inputs; ++k)
    sum += static_cast<double>(given.x[row * given.inputs + k]) *
           static_cast<double>(given.w[n * given.inputs + k]);
  return sum;
}

/// Root mean square of the error over that of the product, of one row.
double relative_error(const Matrices& given, const std::vector<float>& y, std::size_t row) {
  double error = 0, size = 0;
  for (std::size_t n = 0; n < given.outputs; ++n) {
    const double wanted = exact(given, row, n), found = static_cast<double>(y[row * given.outputs + n]);
    error += (found - wanted) * (found - wanted);
    size += wanted * wanted;
  }
  return std::sqrt(error / size);
}

TEST(SplitProduct, is_near_the_exact_one) {
  const Matrices given = normal_matrices(13, 70, 515);
  const std::vector<float> y = product(given);
  for (std::size_t row = 0; row < given.rows; ++row) EXPECT_LT(relative_error(given, y, row), 3e-4) << row;
}

TEST(SplitProduct, outliers_cost_the_others_nothing) {
  Matrices given = normal_matrices(5, 40, 2048);
  given.x[1 * given.inputs + 7] = 30000;  // an activation
  given.x[2 * given.inputs + 9] = -800;
  given.w[3 * given.inputs + 100] = 40;    // a super weight
  given.x[4 * given.inputs + 100] = 5000;  // and where both meet
  const std::vector<float> y = product(given);
  SplitWeights weights(given.outputs, given.inputs);
  weights.set_outputs(0, given.w);
  ASSERT_EQ(weights.outliers().size(), 1u);
  EXPECT_EQ(weights.outliers()[0].row, 3u);
  EXPECT_EQ(weights.outliers()[0].column, 100u);
  for (std::size_t row = 0; row < given.rows; ++row) {
    EXPECT_LT(relative_error(given, y, row), 1e-4) << row;
    const double wanted = exact(given, row, 3);
    EXPECT_NEAR(static_cast<double>(y[row * given.outputs + 3]), wanted, 2e-3 + 1e-4 * std::abs(wanted))
        << row;
  }
}

TEST(SplitProduct, adds_and_has_a_bias) {
  Matrices given = normal_matrices(3, 33, 64);
  given.bias.assign(given.outputs, 2.5F);
  const std::vector<float> fresh = product(given), added = product(given, Int8Output::add, 1.0F);
  for (std::size_t i = 0; i < fresh.size(); ++i) EXPECT_NEAR(added[i], fresh[i] + 1, 1e-5) << i;
  EXPECT_NEAR(static_cast<double>(fresh[0]), exact(given, 0, 0), 1e-3);
}

TEST(SplitProduct, a_row_alone_has_the_bits_it_has_among_others) {
  Matrices given = normal_matrices(30, 50, 300);
  given.x[17 * given.inputs + 3] = 900;
  const std::vector<float> all = product(given);
  Matrices one = given;
  one.rows = 1;
  one.x.assign(given.x.begin() + 17 * 300, given.x.begin() + 18 * 300);
  const std::vector<float> alone = product(one);
  EXPECT_TRUE(std::equal(alone.begin(), alone.end(), all.begin() + 17 * 50));
}

TEST(SplitProduct, nothing_gives_nothing_and_NaN_gives_NaN_where_it_is) {
  Matrices given = normal_matrices(4, 40, 96);
  std::fill_n(given.x.begin(), given.inputs, 0.0F);
  given.x[1 * given.inputs + 5] = std::numeric_limits<float>::quiet_NaN();
  given.x[2 * given.inputs + 5] = std::numeric_limits<float>::infinity();
  std::fill_n(given.w.begin(), given.inputs, 0.0F);
  given.w[1 * given.inputs + 5] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> y = product(given);
  for (std::size_t n = 0; n < given.outputs; ++n) {
    EXPECT_TRUE(n == 1 || y[n] == 0) << n;
    EXPECT_TRUE(std::isnan(y[given.outputs + n])) << n;
    EXPECT_TRUE(std::isnan(y[2 * given.outputs + n])) << n;
  }
  for (std::size_t row = 0; row < given.rows; ++row) EXPECT_TRUE(std::isnan(y[row * given.outputs + 1]));
  EXPECT_EQ(y[3 * given.outputs], 0.0F);
  EXPECT_TRUE(std::isfinite(y[3 * given.outputs + 2]));
}

TEST(SplitProduct, bits_are_the_same_on_every_instruction_set) {
  Matrices given = normal_matrices(29, 65, 1030);
  given.x[5] = 400;
  given.w[70] = 3;
  std::vector<float> first;
  test::for_every_target([&](const char* target) {
    const std::vector<float> y = product(given);
    if (first.empty()) first = y;
    EXPECT_EQ(first, y) << target;
  });
}

}  // namespace
}  // namespace llmq
