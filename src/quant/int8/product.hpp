// The int8 product with a choice of kernel, for tests. SPDX-License-Identifier: Apache-2.0
#pragma once

#include "llmq/quant/int8_product.hpp"

namespace llmq::int8 {

/// `pairs` stays with 16-bit pairs where the CPU has something faster.
enum class Kernel { best, pairs };

/// Operands of a product whose sizes fit.
struct Operands {
  const Int8Rows& a;
  const Int8Weights& w;
  const float* bias;  ///< null: none
  float* y;
  Int8Output output;
};

void multiply(const Operands& operands, Kernel kernel);

}  // namespace llmq::int8
