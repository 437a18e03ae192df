// Sensitivities of weights: the two methods by hand, independence of tiles and of who added what.
#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "llmq/core/error.hpp"
#include "llmq/importance/sensitivity.hpp"

namespace {
using namespace llmq;
using Values = std::vector<float>;

constexpr std::size_t kOut = 5, kIn = 11;

Values numbers(std::size_t count, std::uint64_t seed) {
  Values values(count);
  for (std::size_t i = 0; i < count; ++i)
    values[i] = std::sin(static_cast<float>(seed * 97 + i * 13)) * 1e-3F;
  return values;
}

SensitivitySample sample_of(ImportanceMethod method, std::uint64_t seed, std::size_t tile) {
  const Values weights = numbers(kOut * kIn, 1), gradient = numbers(kOut * kIn, seed);
  SensitivitySample sample;
  for (std::size_t row = 0; row < kOut; row += tile) {
    const std::size_t rows = std::min(tile, kOut - row);
    sample.add_rows(method, row, kOut, kIn, std::span(weights).subspan(row * kIn, rows * kIn),
                    std::span(gradient).subspan(row * kIn, rows * kIn));
  }
  return sample;
}

TEST(Sensitivity, means_of_each_samples_own_values) {
  for (const ImportanceMethod method : {ImportanceMethod::gradient, ImportanceMethod::fisher}) {
    SensitivityAccumulator total(kIn, kOut);
    std::vector<double> columns(kIn, 0.0), rows(kOut, 0.0);
    const Values weights = numbers(kOut * kIn, 1);
    for (const std::uint64_t seed : {3u, 4u, 5u}) {
      total.add_sample(sample_of(method, seed, kOut));
      const Values gradient = numbers(kOut * kIn, seed);
      for (std::size_t i = 0; i < kOut; ++i) {
        for (std::size_t j = 0; j < kIn; ++j) {
          const double g = gradient[i * kIn + j], w = weights[i * kIn + j];
          const double value = method == ImportanceMethod::fisher ? g * g : std::abs(g * w);
          columns[j] += value / kOut;
          rows[i] += value / kIn;
        }
      }
    }
    for (std::size_t j = 0; j < kIn; ++j)
      EXPECT_NEAR(from_fixed(total.columns[j], kSensitivityFractionBits), columns[j], 1e-14 * columns[j]);
    for (std::size_t i = 0; i < kOut; ++i)
      EXPECT_NEAR(from_fixed(total.rows[i], kSensitivityFractionBits), rows[i], 1e-14 * rows[i]);
    EXPECT_EQ(total.samples, 3u);
  }
}

TEST(Sensitivity, neither_tiles_nor_the_order_of_samples_change_a_bit) {
  SensitivityAccumulator one(kIn, kOut), left(kIn, kOut), right(kIn, kOut);
  for (const std::uint64_t seed : {3u, 4u, 5u})
    one.add_sample(sample_of(ImportanceMethod::fisher, seed, kOut));
  right.add_sample(sample_of(ImportanceMethod::fisher, 5, 2));
  left.add_sample(sample_of(ImportanceMethod::fisher, 4, 1));
  left.add_sample(sample_of(ImportanceMethod::fisher, 3, 3));
  left.add(right);
  EXPECT_EQ(left.columns, one.columns);
  EXPECT_EQ(left.rows, one.rows);
  EXPECT_EQ(left.samples, one.samples);
}

TEST(Sensitivity, a_bad_number_is_refused_and_so_are_rows_out_of_order) {
  SensitivitySample sample;
  const Values weights(2 * kIn, 1.0F);
  Values gradient(2 * kIn, 1.0F);
  gradient[3] = std::numeric_limits<float>::quiet_NaN();
  sample.add_rows(ImportanceMethod::fisher, 0, 2, kIn, weights, gradient);
  SensitivityAccumulator total(kIn, 2);
  EXPECT_THROW(total.add_sample(sample), Error);
  EXPECT_THROW(sample.add_rows(ImportanceMethod::fisher, 1, 2, kIn, weights, gradient), InternalError);
}

TEST(Sensitivity, small_gradients_keep_their_digits) {
  const Values weights(kIn, 1.0F), gradient(kIn, 1e-9F);
  SensitivitySample sample;
  sample.add_rows(ImportanceMethod::fisher, 0, 1, kIn, weights, gradient);
  SensitivityAccumulator total(kIn, 1);
  total.add_sample(sample);
  const double g = static_cast<double>(1e-9F);
  EXPECT_NEAR(from_fixed(total.columns[0], kSensitivityFractionBits), g * g, 1e-11 * g * g);
}

}  // namespace
