// The int8 product in plain C++, to be read. SPDX-License-Identifier: Apache-2.0
#pragma once

#include "llmq/quant/int8_product.hpp"

namespace llmq::int8 {

/// Code of a value; scale above zero.
std::int8_t code_of(float value, float scale) noexcept;

/// What quantize_rows_int8 gives for finite values.
Int8Rows reference_rows(std::span<const float> x, std::size_t in_features);

/// What int8_matmul gives for the weights of these codes [out_features, in_features] and scales.
void reference_matmul(const Int8Rows& a, std::span<const std::int8_t> codes, std::span<const float> scales,
                      std::span<const float> bias, std::span<float> y, Int8Output output);

}  // namespace llmq::int8
