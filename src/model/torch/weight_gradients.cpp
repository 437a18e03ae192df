#include "model/torch/weight_gradients.hpp"

#include <algorithm>

namespace llmq::torch_pass {

void WeightGradients::pass(const NamedMatrix& matrix, MatrixView<const float> x,
                           MatrixView<const float> d_y) {
  const std::size_t columns = matrix.columns;
  tile_.resize(std::max(tile_.size(), kGradientRows * columns));
  for (std::size_t row = 0; row < matrix.rows; row += kGradientRows) {
    const std::size_t rows = std::min(kGradientRows, matrix.rows - row);
    multiply_first_transposed({d_y.data + row, d_y.rows, rows, d_y.stride}, x,
                              {tile_.data(), rows, columns, columns}, Product::replace);
    clock_.matmul();
    observer_({matrix.name,
               matrix.expert,
               row,
               matrix.rows,
               columns,
               {matrix.weights + row * columns, rows * columns},
               {tile_.data(), rows * columns}});
    clock_.skip();
  }
}

}  // namespace llmq::torch_pass
