// The parts of a layer between its matrix products, as plain loops over rows. Fixed order, no shared state:
// the same bits whatever thread runs them. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

namespace llmq::torch_pass {

/// out[t] = x[t] / sqrt(mean(x[t]^2) + eps) * weight
void rms_norm(const float* x, const float* weight, float eps, std::size_t tokens, std::size_t width,
              float* out);
/// x += y
void add_rows(float* x, const float* y, std::size_t count);
/// Adds a bias row to every row; null bias: nothing.
void add_bias(float* x, const float* bias, std::size_t tokens, std::size_t width, std::size_t stride);
/// out[t][j] = silu(gate) * up of rows [gate | up] of 2 x width.
void swiglu(const float* gate_up, std::size_t tokens, std::size_t width, float* out);
/// Rotates `heads` heads of a row stride apart: pairs (c, c + half) by position times the inverse frequency
/// c.
class Rope {
 public:
  Rope(const std::vector<float>& inverse_frequencies, std::size_t max_positions);
  void rotate(float* x, std::size_t heads, std::size_t tokens, std::size_t stride) const;

 private:
  std::size_t half_;
  std::vector<float> cos_;  // [positions, half]
  std::vector<float> sin_;
};

}  // namespace llmq::torch_pass
