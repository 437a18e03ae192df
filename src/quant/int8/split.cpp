#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "llmq/core/error.hpp"
#include "llmq/quant/split_product.hpp"

#include "quant/choice.hpp"

namespace llmq {
namespace {

constexpr float kTopCode = 127 * 256 + 127;
constexpr std::size_t kLanes = 16;

/// Root mean square, summed in sixteen lanes: an order of its own, whatever the compiler makes of it.
float root_mean_square(std::span<const float> row) {
  std::array<float, kLanes> sums{};
  std::size_t i = 0;
  for (; i + kLanes <= row.size(); i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) sums[lane] += row[i + lane] * row[i + lane];
  }
  for (; i < row.size(); ++i) sums[i % kLanes] += row[i] * row[i];
  double sum = 0;
  for (const float lane : sums) sum += static_cast<double>(lane);
  return static_cast<float>(std::sqrt(sum / static_cast<double>(row.size())));
}

/// Digits of a row and its scale s: value = s (256 high + low), but for outliers, which go to `apart`.
/// A row with NaN or Inf has scale NaN and digits 0.
float split_row(std::span<const float> row, std::uint32_t index, std::int8_t* high, std::int8_t* low,
                std::vector<SplitOutlier>& apart) {
  const float limit = kSplitOutlier * root_mean_square(row);
  if (!std::isfinite(limit)) {
    std::fill_n(high, row.size(), std::int8_t{0});
    std::fill_n(low, row.size(), std::int8_t{0});
    return std::numeric_limits<float>::quiet_NaN();
  }
  float top = 0;
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (std::abs(row[i]) <= limit)
      top = std::max(top, std::abs(row[i]));
    else
      apart.push_back({index, static_cast<std::uint32_t>(i), row[i]});
  }
  const float scale = top / kTopCode, inverse = scale >= std::numeric_limits<float>::min() ? 1 / scale : 0.0F;
  for (std::size_t i = 0; i < row.size(); ++i) {
    const float inside = std::abs(row[i]) <= limit ? row[i] : 0.0F;
    const auto code = static_cast<std::int32_t>(round_even(inside * inverse)), upper = (code + 128) >> 8;
    high[i] = static_cast<std::int8_t>(upper);
    low[i] = static_cast<std::int8_t>(code - 256 * upper);
  }
  return inverse > 0 ? scale : 0.0F;
}

/// Activations as digits; memory is used again.
struct SplitRows {
  Int8Rows high, low;
  std::vector<SplitOutlier> outliers;

  void set(std::span<const float> x, std::size_t in_features) {
    const std::size_t rows = x.size() / in_features;
    outliers.clear();
    for (Int8Rows* digits : {&high, &low}) {
      digits->in_features = in_features;
      digits->codes.resize(x.size());
      digits->scales.resize(rows);
    }
    for (std::size_t row = 0; row < rows; ++row) {
      const std::size_t first = row * in_features;
      const float scale = split_row(x.subspan(first, in_features), static_cast<std::uint32_t>(row),
                                    high.codes.data() + first, low.codes.data() + first, outliers);
      high.scales[row] = 256 * scale;
      low.scales[row] = scale;
    }
  }
};

/// y [outputs] += value x the weights of one input, outliers among them aside.
void add_input(const SplitWeights& w, std::size_t input, float value, float* y) {
  const std::size_t offset =
      input / Int8Weights::kQuad * Int8Weights::kPanel * Int8Weights::kQuad + input % Int8Weights::kQuad;
  for (std::size_t n = 0; n < w.out_features(); ++n) {
    const float code = static_cast<float>(256 * w.high().at(n)[offset] + w.low().at(n)[offset]);
    y[n] += value * (code * w.low().scales()[n]);
  }
}

}  // namespace

SplitWeights::SplitWeights(std::size_t out_features, std::size_t in_features)
    : high_(out_features, in_features), low_(out_features, in_features) {}

void SplitWeights::set_outputs(std::size_t first, std::span<const float> weights) {
  const std::size_t inputs = in_features();
  std::vector<std::int8_t> high(inputs), low(inputs);
  for (std::size_t row = 0; row < weights.size() / inputs; ++row) {
    const float scale =
        split_row(weights.subspan(row * inputs, inputs), static_cast<std::uint32_t>(first + row), high.data(),
                  low.data(), outliers_);
    const float upper = 256 * scale;
    high_.set_outputs(first + row, high, std::span(&upper, 1));
    low_.set_outputs(first + row, low, std::span(&scale, 1));
  }
}

std::uint64_t SplitWeights::bytes() const noexcept {
  return 2 * std::uint64_t{high_.padded_outputs()} * high_.quads() * Int8Weights::kQuad +
         sizeof(SplitOutlier) * outliers_.size();
}

void split_matmul(std::span<const float> x, const SplitWeights& w, std::span<const float> bias,
                  std::span<float> y, Int8Output output) {
  const std::size_t inputs = w.in_features(), outputs = w.out_features();
  if (x.size() % inputs != 0 || y.size() != x.size() / inputs * outputs)
    throw InternalError("sizes of a split product do not fit");
  thread_local SplitRows rows;  // grown once
  rows.set(x, inputs);
  int8_matmul(rows.high, w.high(), bias, y, output);
  int8_matmul(rows.high, w.low(), {}, y, Int8Output::add);
  int8_matmul(rows.low, w.high(), {}, y, Int8Output::add);
  for (const SplitOutlier& apart : rows.outliers)
    add_input(w, apart.column, apart.value, y.data() + apart.row * outputs);
  for (const SplitOutlier& apart : w.outliers()) {
    for (std::size_t row = 0; row < x.size() / inputs; ++row)
      y[row * outputs + apart.row] += x[row * inputs + apart.column] * apart.value;
  }
}

}  // namespace llmq
