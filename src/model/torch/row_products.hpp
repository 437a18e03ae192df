// Products of a few rows with a weight matrix, for text that grows token by token. The BLAS chooses its order
// of summation by the shape of a product; here the bits of a result depend on its own row and column alone,
// so that a sequence may be extended beside any others. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "model/torch/matmul.hpp"

namespace llmq::torch_pass {

/// y [m, n] = (or +=) x [m, k] w [n, k]^T. Each y is a sum in 16 f32 lanes (k mod 16), each product rounded
/// before it is added; the lanes are added in halves: 16, 8, 4, 2, 1. The same bits on every instruction set
/// and for every m and n. w is read once, whatever m. No shared state: threads take rows of w.
void multiply_rows(MatrixView<const float> x, MatrixView<const float> w, MatrixView<float> y,
                   Product product);

/// out[c] = sum over s of weights[s] values[s][c], s ascending.
void sum_weighted_rows(const float* weights, MatrixView<const float> values, float* out);

}  // namespace llmq::torch_pass
