#include "model/torch/attention.hpp"

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>

namespace llmq::torch_pass {
namespace {

constexpr std::size_t kQueryRows = 128;

at::Tensor view(float* data, std::size_t rows, std::size_t columns, std::size_t stride) {
  return at::from_blob(data, {static_cast<std::int64_t>(rows), static_cast<std::int64_t>(columns)},
                       {static_cast<std::int64_t>(stride), 1}, at::TensorOptions().dtype(at::kFloat));
}

/// Softmax over the first `visible` scores of a row, the rest become 0.
void softmax_row(float* row, std::size_t visible, std::size_t width, float scale) {
  float top = row[0];
  for (std::size_t k = 1; k < visible; ++k) top = std::max(top, row[k]);
  for (std::size_t k = 0; k < visible; ++k) row[k] = std::exp((row[k] - top) * scale);
  double sum = 0;
  for (std::size_t k = 0; k < visible; ++k) sum += static_cast<double>(row[k]);
  const auto inverse = static_cast<float>(1.0 / sum);
  for (std::size_t k = 0; k < visible; ++k) row[k] *= inverse;
  std::fill(row + visible, row + width, 0.0F);
}

}  // namespace

void attention(const AttentionShape& shape, float* qkv, float* out, std::vector<float>& scores) {
  const std::size_t stride = (shape.heads + 2 * shape.kv_heads) * shape.head_dim;
  const std::size_t out_stride = shape.heads * shape.head_dim;
  const std::size_t group = shape.heads / shape.kv_heads;
  const float scale = 1.0F / std::sqrt(static_cast<float>(shape.head_dim));
  scores.resize(kQueryRows * shape.tokens);
  for (std::size_t head = 0; head < shape.heads; ++head) {
    float* queries = qkv + head * shape.head_dim;
    float* keys = qkv + (shape.heads + head / group) * shape.head_dim;
    float* values = keys + shape.kv_heads * shape.head_dim;
    for (std::size_t begin = 0; begin < shape.tokens; begin += kQueryRows) {
      const std::size_t rows = std::min(kQueryRows, shape.tokens - begin);
      const std::size_t width = begin + rows;
      at::Tensor product = view(scores.data(), rows, width, width);
      at::mm_out(product, view(queries + begin * stride, rows, shape.head_dim, stride),
                 view(keys, width, shape.head_dim, stride).t());
      for (std::size_t row = 0; row < rows; ++row) {
        softmax_row(scores.data() + row * width, begin + row + 1, width, scale);
      }
      at::Tensor result =
          view(out + begin * out_stride + head * shape.head_dim, rows, shape.head_dim, out_stride);
      at::mm_out(result, product, view(values, width, shape.head_dim, stride));
    }
  }
}

}  // namespace llmq::torch_pass
