// Gradients of the parts of a layer between its matrix products. Fixed order, no fused multiply-add: the same
// bits on every thread and every instruction set. "d_x" is the gradient of the loss with respect to x.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace llmq::torch_pass {

/// d_x += gradient through out = x r weight, r = 1 / sqrt(mean(x^2) + eps), of d_out, all [tokens, width]:
///   r weight d_out - x r^3 / width sum_j(weight_j d_out_j x_j)
/// d_x may hold the gradient that goes past the norm. Sums run in 8 f64 lanes (column mod 8).
void rms_norm_backward(const float* x, const float* weight, float eps, const float* d_out, std::size_t tokens,
                       std::size_t width, float* d_x);

/// The same through out = (x - mean) r weight + bias, r = 1 / sqrt(variance(x) + eps), with g = weight d_out:
///   r (g - mean_j(g_j)) - (x - mean) r^3 / width sum_j(g_j (x_j - mean))
void layer_norm_backward(const float* x, const float* weight, float eps, const float* d_out,
                         std::size_t tokens, std::size_t width, float* d_x);

/// Rows [gate | up] of 2 x width become their gradients.   out = silu(gate) up, s = 1 / (1 + e^-gate):
///   d_gate = d_out up s (1 + gate (1 - s)),  d_up = d_out gate s
void swiglu_backward(float* gate_up, const float* d_out, std::size_t tokens, std::size_t width);

/// The same behind gelu in its tanh form, with s = 1 / (1 + e^-z) and z = 2 sqrt(2 / pi) (g + 0.044715 g^3):
///   d_gate = d_out up s (1 + gate (1 - s) dz/dg),  d_up = d_out gate s
void geglu_backward(float* gate_up, const float* d_out, std::size_t tokens, std::size_t width);

/// `d_shares` [rows, width] becomes the gradient of the scores behind causal_softmax:
///   scale share (d_share - dot), share = exponentials x inverse sum
/// `exponentials` becomes the shares. @param dots  [rows], sum over columns of share times d_share.
void softmax_backward(float* exponentials, const float* inverse_sums, const float* dots, std::size_t rows,
                      std::size_t width, float scale, float* d_shares);

/// sum_c a[c] b[c] in 8 f64 lanes (column mod 8).
double dot(const float* a, const float* b, std::size_t count);

}  // namespace llmq::torch_pass
