// Matrix products by the BLAS behind libtorch, called directly: libtorch's own entry adds copies and checks
// that small strided products (attention) feel. One BLAS thread a call: the program's threads work on
// samples. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

namespace llmq::torch_pass {

/// A row-major matrix; `stride` values from row to row.
template <class T>
struct MatrixView {
  T* data;
  std::size_t rows;
  std::size_t columns;
  std::size_t stride;
};

enum class Product { replace, add };

/// Finds the BLAS and binds it to one thread; its name and version, for the log. Once, before the first
/// product.
/// @throws Error(general) if there is none.
std::string open_blas();
/// y [m, n] = (or +=) x [m, k] w [n, k]^T.
void multiply_transposed(MatrixView<const float> x, MatrixView<const float> w, MatrixView<float> y,
                         Product product);
/// y [m, n] = (or +=) x [m, k] w [k, n].
void multiply(MatrixView<const float> x, MatrixView<const float> w, MatrixView<float> y,
              Product product = Product::replace);

/// y [m, n] = (or +=) x [k, m]^T w [k, n]: gradients of weights and keys, sums over tokens.
void multiply_first_transposed(MatrixView<const float> x, MatrixView<const float> w, MatrixView<float> y,
                               Product product);

}  // namespace llmq::torch_pass
