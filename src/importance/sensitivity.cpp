#include "llmq/importance/sensitivity.hpp"

#include <array>

#include "llmq/core/error.hpp"

namespace llmq {
namespace {

constexpr std::size_t kLanes = 8;

/// Adds a row to the sums of columns; its own sum comes from 8 lanes (column mod 8), added in order.
template <ImportanceMethod kMethod>
double add_row(const float* weights, const float* gradient, std::size_t count, double* columns) {
  std::array<double, kLanes> lanes{};
  std::size_t j = 0;
  for (; j + kLanes <= count; j += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const double value = sensitivity_of(kMethod, gradient[j + lane], weights[j + lane]);
      columns[j + lane] += value;
      lanes[lane] += value;
    }
  }
  for (std::size_t lane = 0; j < count; ++j, ++lane) {
    const double value = sensitivity_of(kMethod, gradient[j], weights[j]);
    columns[j] += value;
    lanes[lane] += value;
  }
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

void add_means(std::vector<Int128>& to, const std::vector<double>& sums, std::size_t terms) {
  for (std::size_t i = 0; i < to.size(); ++i)
    to[i] = add_fixed(to[i], to_fixed(sums[i] / static_cast<double>(terms), kSensitivityFractionBits));
}

}  // namespace

void SensitivitySample::add_rows(ImportanceMethod method, std::size_t first_row, std::size_t out_features,
                                 std::size_t in_features, std::span<const float> weights,
                                 std::span<const float> gradient) {
  if (first_row == 0) {
    columns_.assign(in_features, 0.0);
    rows_.assign(out_features, 0.0);
    seen_ = 0;
  }
  const std::size_t count = gradient.size() / in_features;
  if (first_row != seen_ || columns_.size() != in_features || seen_ + count > rows_.size() ||
      weights.size() != gradient.size()) {
    throw InternalError("rows of a gradient came out of order");
  }
  for (std::size_t row = 0; row < count; ++row) {
    const float* of_weights = weights.data() + row * in_features;
    const float* of_gradient = gradient.data() + row * in_features;
    rows_[seen_++] =
        method == ImportanceMethod::fisher
            ? add_row<ImportanceMethod::fisher>(of_weights, of_gradient, in_features, columns_.data())
            : add_row<ImportanceMethod::gradient>(of_weights, of_gradient, in_features, columns_.data());
  }
}

SensitivityAccumulator::SensitivityAccumulator(std::size_t in_features, std::size_t out_features)
    : columns(in_features, 0), rows(out_features, 0) {}

void SensitivityAccumulator::add_sample(const SensitivitySample& sample) {
  if (!sample.complete() || sample.columns_.size() != columns.size() || sample.rows_.size() != rows.size())
    throw InternalError("a sample's gradient does not fit the accumulator");
  add_means(columns, sample.columns_, rows.size());
  add_means(rows, sample.rows_, columns.size());
  ++samples;
}

void SensitivityAccumulator::add(const SensitivityAccumulator& other) {
  if (other.columns.size() != columns.size() || other.rows.size() != rows.size())
    throw InternalError("accumulators of different weights");
  add_all_fixed(columns, other.columns);
  add_all_fixed(rows, other.rows);
  samples += other.samples;
}

void SensitivityAccumulator::clear() { *this = SensitivityAccumulator(columns.size(), rows.size()); }

}  // namespace llmq
