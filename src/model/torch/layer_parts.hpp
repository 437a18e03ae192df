// What stands between the matrix products of a layer, and where architectures differ.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "llmq/model/spec.hpp"

#include "model/torch/attention.hpp"
#include "model/torch/layer.hpp"

namespace llmq::torch_pass {

/// Experts of a layer; 0: there are none.
struct ExpertShape {
  std::size_t experts = 0, used = 0, ffn = 0;
  bool normed_shares = true;
};

struct LayerShape {
  AttentionShape attention;
  std::size_t hidden = 0;
  std::size_t ffn = 0;  ///< of the MLP of all tokens; 0: there is none
  float eps = 0;
  Norm norm = Norm::rms;
  Activation activation = Activation::silu;
  QkNorm qk_norm = QkNorm::none;
  bool fused_qkv = false, fused_gate_up = false;  ///< how gradients of the stacked weights are named
  ExpertShape experts;

  std::size_t attended() const noexcept { return attention.heads * attention.head_dim; }
};

/// A norm as it is kept, of what models are normed by; a layer norm's bias stands behind its weight.
/// @throws Error(validation) without one of its tensors.
std::vector<float> load_norm(const WeightLoader& weights, const std::string& name, Norm kind,
                             std::size_t width);
/// out = norm(x), both [rows, width].
void apply_norm(Norm kind, const std::vector<float>& norm, float eps, const float* x, std::size_t rows,
                std::size_t width, float* out);
/// d_x += gradient through out = norm(x) of d_out.
void apply_norm_backward(Norm kind, const std::vector<float>& norm, float eps, const float* x,
                         const float* d_out, std::size_t rows, std::size_t width, float* d_x);

/// x [rows, hidden] normed into `normed`; without a norm x itself.
const float* pre_norm(const LayerShape& shape, const std::vector<float>& weight, const float* x,
                      std::size_t rows, std::vector<float>& normed);
/// Queries and keys of rows [q | k | v], in place.
void norm_queries_and_keys(const LayerShape& shape, const Layer& layer, float* qkv, std::size_t rows);
/// out [rows, ffn] of rows [gate | up].
void activate(const LayerShape& shape, const float* gate_up, std::size_t rows, float* out);
/// Rows [gate | up] become their gradients, from that of `out`.
void activation_backward(const LayerShape& shape, float* gate_up, const float* d_out, std::size_t rows);
/// hidden += norm(product), all [rows, hidden]; `normed` may be `product`.
void add_post_normed(const LayerShape& shape, const std::vector<float>& weight, const float* product,
                     std::size_t rows, float* normed, float* hidden);

}  // namespace llmq::torch_pass
