#include "model/torch/elementwise_backward.hpp"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "model/torch/elementwise_backward.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "model/torch/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace llmq::torch_pass::HWY_NAMESPACE {

/// Rows [gate | up] become their gradients; exponent(d, gate) gives z and its slope.
template <class Exponent>
HWY_INLINE void gated_backward(float* gate_up, const float* d_out, std::size_t tokens, std::size_t width,
                               const Exponent& exponent) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto step = [&](const float* gates, const float* ups, const float* from, float* d_gates, float* d_ups)
                        HWY_ATTR {
                          const auto one = hn::Set(d, 1.0F);
                          const auto gate = hn::LoadU(d, gates);
                          const auto up = hn::LoadU(d, ups);
                          const auto gradient = hn::LoadU(d, from);
                          auto z = gate, gate_slope = gate;  // gate dz/dg
                          exponent(d, gate, z, gate_slope);
                          // With e = e^-|z|: the larger of s and 1 - s is 1 / (1 + e), the smaller e / (1 +
                          // e).
                          const auto e = exp_of_nonpositive(d, hn::Neg(hn::Abs(z)));
                          const auto larger = hn::Div(one, hn::Add(one, e));
                          const auto smaller = hn::Mul(e, larger);
                          const auto negative = hn::Lt(z, hn::Zero(d));
                          const auto s = hn::IfThenElse(negative, smaller, larger);
                          const auto rest = hn::IfThenElse(negative, larger, smaller);
                          const auto slope = hn::Mul(s, hn::Add(one, hn::Mul(gate_slope, rest)));
                          hn::StoreU(hn::Mul(hn::Mul(gradient, up), slope), d, d_gates);
                          hn::StoreU(hn::Mul(gradient, hn::Mul(gate, s)), d, d_ups);
                        };
  HWY_ALIGN float rest_gate[HWY_MAX_BYTES / sizeof(float)];
  HWY_ALIGN float rest_up[HWY_MAX_BYTES / sizeof(float)];
  HWY_ALIGN float rest_out[HWY_MAX_BYTES / sizeof(float)];
  for (std::size_t t = 0; t < tokens; ++t, gate_up += 2 * width, d_out += width) {
    float* up = gate_up + width;
    std::size_t j = 0;
    for (; j + lanes <= width; j += lanes) step(gate_up + j, up + j, d_out + j, gate_up + j, up + j);
    if (j == width) continue;
    for (std::size_t k = 0; k < lanes; ++k) {
      const bool inside = j + k < width;
      rest_gate[k] = inside ? gate_up[j + k] : 0.0F;
      rest_up[k] = inside ? up[j + k] : 0.0F;
      rest_out[k] = inside ? d_out[j + k] : 0.0F;
    }
    step(rest_gate, rest_up, rest_out, rest_gate, rest_up);
    for (std::size_t k = 0; j + k < width; ++k) gate_up[j + k] = rest_gate[k], up[j + k] = rest_up[k];
  }
}

void swiglu_backward(float* gate_up, const float* d_out, std::size_t tokens, std::size_t width) {
  gated_backward(gate_up, d_out, tokens, width, [](auto, auto, auto&, auto&) HWY_ATTR {});  // z = gate
}

void geglu_backward(float* gate_up, const float* d_out, std::size_t tokens, std::size_t width) {
  gated_backward(gate_up, d_out, tokens, width, [](auto d, auto gate, auto& z, auto& gate_slope) HWY_ATTR {
    // gate dz/dg = z + 2 sqrt(2 / pi) 2 x 0.044715 g^3
    const auto cube = hn::Mul(hn::Mul(gate, gate), gate);
    z = gelu_exponent(d, gate);
    gate_slope = hn::Add(z, hn::Mul(hn::Set(d, 1.5957691216F * 2 * 0.044715F), cube));
  });
}

void softmax_backward(float* exponentials, const float* inverse_sums, const float* dots, std::size_t rows,
                      std::size_t width, float scale, float* d_shares) {
  for (std::size_t row = 0; row < rows; ++row, exponentials += width, d_shares += width) {
    const float inverse = inverse_sums[row], dot_of_row = dots[row];
    for_each(exponentials, width, exponentials,
             [inverse](auto d, auto value) HWY_ATTR { return hn::Mul(value, hn::Set(d, inverse)); });
    for_each_pair(exponentials, d_shares, width, d_shares,
                  [dot_of_row, scale](auto d, auto share, auto d_share) HWY_ATTR {
                    const auto difference = hn::Sub(d_share, hn::Set(d, dot_of_row));
                    return hn::Mul(hn::Mul(share, difference), hn::Set(d, scale));
                  });
  }
}

}  // namespace llmq::torch_pass::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace llmq::torch_pass {
namespace {

HWY_EXPORT(swiglu_backward);
HWY_EXPORT(geglu_backward);
HWY_EXPORT(softmax_backward);

constexpr std::size_t kLanes = 8;

/// Sum of term(j) over columns in 8 lanes, which are added in order.
template <class Term>
double sum_in_lanes(std::size_t count, const Term& term) {
  double lanes[kLanes] = {};
  std::size_t j = 0;
  for (; j + kLanes <= count; j += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += term(j + lane);
  }
  for (std::size_t lane = 0; j < count; ++j, ++lane) lanes[lane] += term(j);
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

}  // namespace

double dot(const float* a, const float* b, std::size_t count) {
  return sum_in_lanes(
      count, [a, b](std::size_t j) { return static_cast<double>(a[j]) * static_cast<double>(b[j]); });
}

void rms_norm_backward(const float* x, const float* weight, float eps, const float* d_out, std::size_t tokens,
                       std::size_t width, float* d_x) {
  for (std::size_t t = 0; t < tokens; ++t, x += width, d_out += width, d_x += width) {
    const double mean = dot(x, x, width) / static_cast<double>(width);
    const double scale = 1.0 / std::sqrt(mean + static_cast<double>(eps));
    const double along = sum_in_lanes(width, [&](std::size_t j) {
      return static_cast<double>(weight[j]) * static_cast<double>(d_out[j]) * static_cast<double>(x[j]);
    });
    const auto outer = static_cast<float>(scale);
    const auto inner = static_cast<float>(scale * scale * scale * along / static_cast<double>(width));
    for (std::size_t j = 0; j < width; ++j) d_x[j] += outer * weight[j] * d_out[j] - inner * x[j];
  }
}

void layer_norm_backward(const float* x, const float* weight, float eps, const float* d_out,
                         std::size_t tokens, std::size_t width, float* d_x) {
  const auto count = static_cast<double>(width);
  for (std::size_t t = 0; t < tokens; ++t, x += width, d_out += width, d_x += width) {
    const double mean = sum_in_lanes(width, [&](std::size_t j) { return static_cast<double>(x[j]); }) / count;
    const auto away = [&](std::size_t j) { return static_cast<double>(x[j]) - mean; };
    const auto behind = [&](std::size_t j) {
      return static_cast<double>(weight[j]) * static_cast<double>(d_out[j]);
    };
    const double squares = sum_in_lanes(width, [&](std::size_t j) { return away(j) * away(j); });
    const double scale = 1.0 / std::sqrt(squares / count + static_cast<double>(eps));
    const double shift = scale * sum_in_lanes(width, behind) / count;
    const double along = sum_in_lanes(width, [&](std::size_t j) { return behind(j) * away(j); });
    const double inner = scale * scale * scale * along / count;
    for (std::size_t j = 0; j < width; ++j)
      d_x[j] += static_cast<float>(scale * behind(j) - shift - inner * away(j));
  }
}

void swiglu_backward(float* gate_up, const float* d_out, std::size_t tokens, std::size_t width) {
  HWY_DYNAMIC_DISPATCH(swiglu_backward)(gate_up, d_out, tokens, width);
}

void geglu_backward(float* gate_up, const float* d_out, std::size_t tokens, std::size_t width) {
  HWY_DYNAMIC_DISPATCH(geglu_backward)(gate_up, d_out, tokens, width);
}

void softmax_backward(float* exponentials, const float* inverse_sums, const float* dots, std::size_t rows,
                      std::size_t width, float scale, float* d_shares) {
  HWY_DYNAMIC_DISPATCH(softmax_backward)(exponentials, inverse_sums, dots, rows, width, scale, d_shares);
}

}  // namespace llmq::torch_pass
#endif
