// Causal softmax of rows of attention scores. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace llmq::torch_pass {

/// For every row i of `rows`: scores[i][k] = e^(scale (scores[i][k] - max)) over its first `visible` + i
/// values, 0 up to `width`, and inverse_sums[i] = 1 / their sum. The division itself is left to the caller,
/// who has head_dim products a row to scale and not `width` scores. scale > 0; `stride` values between rows.
/// NaN among the visible scores gives NaN. The same bits on every instruction set: the sum runs in 16 f32
/// lanes (column mod 16) over 512 columns at a time, the blocks in f64.
void causal_softmax(float* scores, std::size_t rows, std::size_t visible, std::size_t width,
                    std::size_t stride, float scale, float* inverse_sums);

}  // namespace llmq::torch_pass
