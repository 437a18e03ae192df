#include "llmq/quality/tensor_error.hpp"

#include <algorithm>
#include <cmath>

#include "llmq/core/error.hpp"

namespace llmq {

void ErrorSums::add(const ErrorSums& other) noexcept {
  error_sq += other.error_sq;
  original_sq += other.original_sq;
  quantized_sq += other.quantized_sq;
  dot += other.dot;
  max_error = std::max(max_error, other.max_error);
  weighted_error_sq += other.weighted_error_sq;
  weighted_original_sq += other.weighted_original_sq;
  count += other.count;
}

double ErrorSums::cosine() const noexcept {
  const double norm = std::sqrt(original_sq * quantized_sq);
  return norm > 0 ? dot / norm : (original_sq == quantized_sq ? 1.0 : 0.0);
}

double ErrorSums::weighted_error() const noexcept {
  return weighted_original_sq > 0 ? weighted_error_sq / weighted_original_sq : 0;
}

ErrorSums measure_error(std::span<const float> original, std::span<const float> quantized,
                        std::span<const double> importance) {
  const std::size_t columns = importance.size();
  if (original.size() != quantized.size() || (columns > 0 && original.size() % columns != 0))
    throw InternalError("measure_error: sizes differ");
  ErrorSums sums;
  std::size_t column = 0;
  for (std::size_t i = 0; i < original.size(); ++i) {
    const double x = original[i];
    const double y = quantized[i];
    const double error = x - y;
    sums.error_sq += error * error;
    sums.original_sq += x * x;
    sums.quantized_sq += y * y;
    sums.dot += x * y;
    sums.max_error = std::max(sums.max_error, std::fabs(error));
    if (columns == 0) continue;
    const double weight = importance[column];
    column = column + 1 == columns ? 0 : column + 1;
    sums.weighted_error_sq += weight * error * error;
    sums.weighted_original_sq += weight * x * x;
  }
  sums.count = original.size();
  return sums;
}

}  // namespace llmq
