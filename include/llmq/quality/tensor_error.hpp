// Difference between original and decoded weights, in pieces that are summed in a fixed order.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

namespace llmq {

/// Sums over one piece of a tensor. Plain data: gathered between ranks as bytes.
struct ErrorSums {
  double error_sq = 0;              ///< sum (x - y)^2
  double original_sq = 0;           ///< sum x^2
  double quantized_sq = 0;          ///< sum y^2
  double dot = 0;                   ///< sum x y
  double max_error = 0;             ///< max |x - y|
  double weighted_error_sq = 0;     ///< sum w (x - y)^2, w the importance of the column
  double weighted_original_sq = 0;  ///< sum w x^2
  std::uint64_t count = 0;

  /// Adds a later piece; the order of calls decides the last bits.
  void add(const ErrorSums& other) noexcept;
  double mse() const noexcept { return count == 0 ? 0 : error_sq / static_cast<double>(count); }
  double cosine() const noexcept;
  /// sum w (x - y)^2 / sum w x^2: with w = mean a^2 the part of the product's energy that is lost, were
  /// columns independent. 0 without importance.
  double weighted_error() const noexcept;
};

/// @param importance  [in_features] of whole rows, or empty: no weighted sums
ErrorSums measure_error(std::span<const float> original, std::span<const float> quantized,
                        std::span<const double> importance = {});

}  // namespace llmq
