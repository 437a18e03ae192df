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
  count += other.count;
}

double ErrorSums::cosine() const noexcept {
  const double norm = std::sqrt(original_sq * quantized_sq);
  return norm > 0 ? dot / norm : (original_sq == quantized_sq ? 1.0 : 0.0);
}

ErrorSums measure_error(std::span<const float> original, std::span<const float> quantized) {
  if (original.size() != quantized.size()) throw InternalError("measure_error: sizes differ");
  ErrorSums sums;
  for (std::size_t i = 0; i < original.size(); ++i) {
    const double x = original[i];
    const double y = quantized[i];
    const double error = x - y;
    sums.error_sq += error * error;
    sums.original_sq += x * x;
    sums.quantized_sq += y * y;
    sums.dot += x * y;
    sums.max_error = std::max(sums.max_error, std::fabs(error));
  }
  sums.count = original.size();
  return sums;
}

}  // namespace llmq
