// The parts of a layer between its matrix products, as vector kernels over rows. Fixed order, no shared
// state, no fused multiply-add: the same bits on every thread and every instruction set.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace llmq::torch_pass {

/// out[t] = x[t] / sqrt(mean(x[t]^2) + eps) * weight. The squares are summed in 8 f64 lanes (column mod 8).
void rms_norm(const float* x, const float* weight, float eps, std::size_t tokens, std::size_t width,
              float* out);
/// out[t] = (x[t] - mean(x[t])) / sqrt(variance(x[t]) + eps) * weight + bias. Sums as in rms_norm.
void layer_norm(const float* x, const float* weight, const float* bias, float eps, std::size_t tokens,
                std::size_t width, float* out);
/// Adds a bias row to every row; null bias: nothing.
void add_bias(float* x, const float* bias, std::size_t tokens, std::size_t width);
/// out[t][j] = silu(gate) * up of rows [gate | up] of 2 x width.   silu(g) = g / (1 + e^-g), within 4 ulp
void swiglu(const float* gate_up, std::size_t tokens, std::size_t width, float* out);
/// The same with gelu in its tanh form:   g / (1 + e^-2u), u = sqrt(2 / pi) (g + 0.044715 g^3)
void geglu(const float* gate_up, std::size_t tokens, std::size_t width, float* out);
/// x[i] = cap tanh(scale x[i] / cap)
void softcap(float* x, std::size_t count, float scale, float cap);

}  // namespace llmq::torch_pass
