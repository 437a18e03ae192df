#include "model/torch/layer_parts.hpp"

#include "model/torch/elementwise.hpp"
#include "model/torch/elementwise_backward.hpp"

namespace llmq::torch_pass {

const float* pre_norm(const LayerShape& shape, const std::vector<float>& weight, const float* x,
                      std::size_t rows, std::vector<float>& normed) {
  if (weight.empty()) return x;
  normed.resize(rows * shape.hidden);
  rms_norm(x, weight.data(), shape.eps, rows, shape.hidden, normed.data());
  return normed.data();
}

void norm_queries_and_keys(const LayerShape& shape, const Layer& layer, float* qkv, std::size_t rows) {
  if (shape.qk_norm == QkNorm::none) return;
  const AttentionShape& attention = shape.attention;
  const bool by_head = shape.qk_norm == QkNorm::head;
  for (std::size_t row = 0; row < rows; ++row, qkv += attention.qkv_width()) {
    float* keys = qkv + attention.heads * attention.head_dim;
    const auto norm = [&](float* x, std::size_t heads, const std::vector<float>& weight) {
      const std::size_t pieces = by_head ? heads : 1, width = heads * attention.head_dim / pieces;
      rms_norm(x, weight.data(), shape.eps, pieces, width, x);
    };
    norm(qkv, attention.heads, layer.q_norm);
    norm(keys, attention.kv_heads, layer.k_norm);
  }
}

void activate(const LayerShape& shape, const float* gate_up, std::size_t rows, float* out) {
  if (shape.activation == Activation::gelu_tanh) return geglu(gate_up, rows, shape.ffn, out);
  swiglu(gate_up, rows, shape.ffn, out);
}

void activation_backward(const LayerShape& shape, float* gate_up, const float* d_out, std::size_t rows) {
  if (shape.activation == Activation::gelu_tanh) return geglu_backward(gate_up, d_out, rows, shape.ffn);
  swiglu_backward(gate_up, d_out, rows, shape.ffn);
}

void add_post_normed(const LayerShape& shape, const std::vector<float>& weight, const float* product,
                     std::size_t rows, float* normed, float* hidden) {
  rms_norm(product, weight.data(), shape.eps, rows, shape.hidden, normed);
  add_bias(hidden, normed, 1, rows * shape.hidden);  // one long row
}

}  // namespace llmq::torch_pass
