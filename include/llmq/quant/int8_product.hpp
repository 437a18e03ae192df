// Products of activations and weights that are both 8-bit integers (W8A8): integer sums, exact, then one
// factor for the row and one for the output. The same bits on every instruction set.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "llmq/core/aligned.hpp"
#include "llmq/core/error.hpp"

namespace llmq {

/// Most input features of a product: 127 x 128 x 131072 is the largest sum, and stays below 2^31.
inline constexpr std::size_t kInt8InFeatures = 131072;

/// Activations as codes: value (row, column) is about codes[row in_features + column] x scales[row].
/// Example: 1, -2, 0.5 has scale 2/127 and codes 64 (63.5, to even), -127, 32 (31.75).
struct Int8Rows {
  std::size_t in_features = 0;
  std::vector<std::int8_t> codes;  ///< -127 to 127
  std::vector<float> scales;       ///< one a row
};

/// A value that no code stands for.
class NotFiniteError : public Error {
 public:
  NotFiniteError(float value, std::size_t row, std::size_t column);
  std::size_t row() const noexcept { return row_; }
  std::size_t column() const noexcept { return column_; }

 private:
  std::size_t row_, column_;
};

/// Symmetric codes with a scale of each row's own: max |x| / 127; codes are x / scale, rounded to nearest,
/// ties to even. A row whose scale rounds to zero (all zero, or below 2^-143) has scale 0 and codes 0.
/// @param x    [rows, in_features]
/// @param out  its memory is used again. @throws NotFiniteError for NaN or Inf; `out` is unspecified then.
void quantize_rows_int8(std::span<const float> x, std::size_t in_features, Int8Rows& out);
/// The same with one scale for all rows, known beforehand: what is beyond 127 x scale becomes +-127.
/// @throws NotFiniteError as above, Error(validation) unless scale is finite and above zero.
void quantize_rows_int8(std::span<const float> x, std::size_t in_features, float scale, Int8Rows& out);

/// Weights in the order in which the kernels read them. The same for all instruction sets: panels of 16
/// outputs; in a panel 64 bytes for every four inputs, four codes of each output side by side:
///   w[0][0..3] w[1][0..3] ... w[15][0..3]   w[0][4..7] ...
/// Outputs are filled up with zeros to a multiple of 32, inputs to one of 4.
class Int8Weights {
 public:
  static constexpr std::size_t kPanel = 16, kQuad = 4, kOutputPadding = 32;

  /// All zero. @throws Error(validation) for no features or more than kInt8InFeatures inputs.
  Int8Weights(std::size_t out_features, std::size_t in_features);
  /// @param codes [out_features, in_features]  @param scales one an output
  Int8Weights(std::span<const std::int8_t> codes, std::span<const float> scales, std::size_t in_features);

  /// Fills in some outputs: for weights that come a few rows at a time.
  void set_outputs(std::size_t first, std::span<const std::int8_t> codes, std::span<const float> scales);

  std::size_t out_features() const noexcept { return out_features_; }
  std::size_t in_features() const noexcept { return in_features_; }
  std::size_t quads() const noexcept { return (in_features_ + kQuad - 1) / kQuad; }
  std::size_t padded_outputs() const noexcept { return scales_.size(); }
  /// Bytes from a panel to the next.
  std::size_t panel_bytes() const noexcept { return quads() * kPanel * kQuad; }
  /// Codes of the first four inputs of an output.
  const std::int8_t* at(std::size_t output) const noexcept {
    return codes_.get() + output / kPanel * panel_bytes() + output % kPanel * kQuad;
  }
  const float* scales() const noexcept { return scales_.data(); }
  /// Sum of each output's codes.
  const std::int32_t* sums() const noexcept { return sums_.data(); }

 private:
  std::size_t out_features_, in_features_;
  std::vector<float> scales_;  // padded, as the sums
  std::vector<std::int32_t> sums_;
  AlignedArray<std::int8_t> codes_;
};

/// True if the CPU, and LLM_QUANTIZE_KERNELS, have an instruction for products of bytes (AVX-512 VNNI).
/// Elsewhere a product of codes takes more than half the time of one in f32, not a quarter.
bool int8_products_are_quick() noexcept;

enum class Int8Output { replace, add };

/// y [rows, out_features] = or += sum_k a_code[row][k] w_code[n][k]  x a_scale[row]  x w_scale[n]  + bias[n].
/// The sum is exact, the rest f32 in this order, and y comes last: y + (product + bias). One thread;
/// thread-safe. Allocates a copy of up to 528 rows, 1 or 2 bytes a value, and 132 KiB.
/// @param bias  empty or one value an output
void int8_matmul(const Int8Rows& a, const Int8Weights& w, std::span<const float> bias, std::span<float> y,
                 Int8Output output = Int8Output::replace);

}  // namespace llmq
