#include "model/torch/layer_parts.hpp"

#include <span>

#include "model/torch/elementwise.hpp"
#include "model/torch/elementwise_backward.hpp"

namespace llmq::torch_pass {

std::vector<float> load_norm(const WeightLoader& weights, const std::string& name, Norm kind,
                             std::size_t width) {
  std::vector<float> norm(kind == Norm::layer ? 2 * width : width);
  if (!weights(name + ".weight", std::span(norm).first(width))) missing_tensor(name + ".weight");
  if (kind == Norm::layer && !weights(name + ".bias", std::span(norm).last(width)))
    missing_tensor(name + ".bias");
  return norm;
}

void apply_norm(Norm kind, const std::vector<float>& norm, float eps, const float* x, std::size_t rows,
                std::size_t width, float* out) {
  if (kind == Norm::layer) return layer_norm(x, norm.data(), norm.data() + width, eps, rows, width, out);
  rms_norm(x, norm.data(), eps, rows, width, out);
}

void apply_norm_backward(Norm kind, const std::vector<float>& norm, float eps, const float* x,
                         const float* d_out, std::size_t rows, std::size_t width, float* d_x) {
  if (kind == Norm::layer) return layer_norm_backward(x, norm.data(), eps, d_out, rows, width, d_x);
  rms_norm_backward(x, norm.data(), eps, d_out, rows, width, d_x);
}

const float* pre_norm(const LayerShape& shape, const std::vector<float>& weight, const float* x,
                      std::size_t rows, std::vector<float>& normed) {
  if (weight.empty()) return x;
  normed.resize(rows * shape.hidden);
  apply_norm(shape.norm, weight, shape.eps, x, rows, shape.hidden, normed.data());
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
  apply_norm(shape.norm, weight, shape.eps, product, rows, shape.hidden, normed);
  add_bias(hidden, normed, 1, rows * shape.hidden);  // one long row
}

}  // namespace llmq::torch_pass
