#include "model/torch/elementwise.hpp"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "model/torch/elementwise.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "model/torch/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace llmq::torch_pass::HWY_NAMESPACE {

/// Sum of term(d, value) in f64. Lane l of 8 sums columns l, l + 8, ...; the lanes are then added in order,
/// and the columns beyond the last whole 8 one by one. Eight lanes are one, two or four vectors.
template <class Term>
HWY_INLINE double sum_in_lanes(const float* x, std::size_t width, const Term& term) {
  constexpr std::size_t kLanes = 8;
  HWY_ALIGN double lanes[kLanes] = {};
  const std::size_t whole = width / kLanes * kLanes;
  const auto single = [&](float value) HWY_ATTR {
    const hn::CappedTag<double, 1> d;
    return hn::GetLane(term(d, hn::Set(d, static_cast<double>(value))));
  };
#if HWY_TARGET == HWY_SCALAR
  for (std::size_t j = 0; j < whole; j += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += single(x[j + lane]);
  }
#else
#if HWY_HAVE_SCALABLE
  const hn::FixedTag<double, 2> d;
#else
  const hn::CappedTag<double, kLanes> d;
#endif
  constexpr std::size_t kStep = hn::MaxLanes(d);
  const hn::Rebind<float, decltype(d)> narrow;
  const auto add = [&](auto sum, const float* at)
                       HWY_ATTR { return hn::Add(sum, term(d, hn::PromoteTo(d, hn::LoadU(narrow, at)))); };
  auto sum0 = hn::Zero(d), sum1 = hn::Zero(d), sum2 = hn::Zero(d), sum3 = hn::Zero(d);
  for (std::size_t j = 0; j < whole; j += kLanes) {
    sum0 = add(sum0, x + j);
    if constexpr (kStep <= 4) sum1 = add(sum1, x + j + kStep);
    if constexpr (kStep <= 2) {
      sum2 = add(sum2, x + j + 2 * kStep);
      sum3 = add(sum3, x + j + 3 * kStep);
    }
  }
  hn::StoreU(sum0, d, lanes);
  if constexpr (kStep <= 4) hn::StoreU(sum1, d, lanes + kStep);
  if constexpr (kStep <= 2) {
    hn::StoreU(sum2, d, lanes + 2 * kStep);
    hn::StoreU(sum3, d, lanes + 3 * kStep);
  }
#endif
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  for (std::size_t j = whole; j < width; ++j) sum += single(x[j]);
  return sum;
}

void rms_norm(const float* x, const float* weight, float eps, std::size_t tokens, std::size_t width,
              float* out) {
  for (std::size_t t = 0; t < tokens; ++t, x += width, out += width) {
    const double squares = sum_in_lanes(x, width, [](auto, auto v) HWY_ATTR { return hn::Mul(v, v); });
    const double mean = squares / static_cast<double>(width);
    const auto scale = static_cast<float>(1.0 / std::sqrt(mean + static_cast<double>(eps)));
    for_each_pair(x, weight, width, out, [scale](auto d, auto value, auto gain) HWY_ATTR {
      return hn::Mul(hn::Mul(value, hn::Set(d, scale)), gain);
    });
  }
}

void layer_norm(const float* x, const float* weight, const float* bias, float eps, std::size_t tokens,
                std::size_t width, float* out) {
  const auto count = static_cast<double>(width);
  for (std::size_t t = 0; t < tokens; ++t, x += width, out += width) {
    const double mean = sum_in_lanes(x, width, [](auto, auto v) HWY_ATTR { return v; }) / count;
    const double squares = sum_in_lanes(x, width, [mean](auto d, auto v) HWY_ATTR {
      const auto away = hn::Sub(v, hn::Set(d, mean));
      return hn::Mul(away, away);
    });
    const auto middle = static_cast<float>(mean);
    const auto scale = static_cast<float>(1.0 / std::sqrt(squares / count + static_cast<double>(eps)));
    for_each_pair(x, weight, width, out, [middle, scale](auto d, auto value, auto gain) HWY_ATTR {
      return hn::Mul(hn::Mul(hn::Sub(value, hn::Set(d, middle)), hn::Set(d, scale)), gain);
    });
    for_each_pair(out, bias, width, out,
                  [](auto, auto value, auto term) HWY_ATTR { return hn::Add(value, term); });
  }
}

void add_bias(float* x, const float* bias, std::size_t tokens, std::size_t width) {
  for (std::size_t t = 0; t < tokens; ++t, x += width) {
    for_each_pair(x, bias, width, x,
                  [](auto, auto value, auto term) HWY_ATTR { return hn::Add(value, term); });
  }
}

/// x / (1 + e^-z). With e = e^-|z|: x / (1 + e) for positive z, x e / (1 + e) for negative: nothing
/// overflows.
template <class D, class V>
HWY_INLINE V times_sigmoid(D d, V x, V z) {
  const auto e = exp_of_nonpositive(d, hn::Neg(hn::Abs(z)));
  const auto share = hn::IfThenElse(hn::Lt(z, hn::Zero(d)), hn::Mul(x, e), x);
  return hn::Div(share, hn::Add(hn::Set(d, 1.0F), e));
}

void swiglu(const float* gate_up, std::size_t tokens, std::size_t width, float* out) {
  for (std::size_t t = 0; t < tokens; ++t, gate_up += 2 * width, out += width) {
    for_each_pair(gate_up, gate_up + width, width, out, [](auto d, auto gate, auto up) HWY_ATTR {
      return hn::Mul(times_sigmoid(d, gate, gate), up);
    });
  }
}

void geglu(const float* gate_up, std::size_t tokens, std::size_t width, float* out) {
  for (std::size_t t = 0; t < tokens; ++t, gate_up += 2 * width, out += width) {
    for_each_pair(gate_up, gate_up + width, width, out, [](auto d, auto gate, auto up) HWY_ATTR {
      return hn::Mul(times_sigmoid(d, gate, gelu_exponent(d, gate)), up);
    });
  }
}

void softcap(float* x, std::size_t count, float scale, float cap) {
  const float inner = scale / cap;
  for_each(x, count, x, [inner, cap](auto d, auto value) HWY_ATTR {
    // tanh|y| = (1 - e) / (1 + e) with e = e^-2|y|, the sign put back.
    const auto y = hn::Mul(value, hn::Set(d, inner));
    const auto e = exp_of_nonpositive(d, hn::Mul(hn::Abs(y), hn::Set(d, -2.0F)));
    const auto one = hn::Set(d, 1.0F);
    const auto magnitude = hn::Mul(hn::Set(d, cap), hn::Div(hn::Sub(one, e), hn::Add(one, e)));
    return hn::CopySign(magnitude, y);
  });
}

}  // namespace llmq::torch_pass::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace llmq::torch_pass {
namespace {
HWY_EXPORT(rms_norm);
HWY_EXPORT(layer_norm);
HWY_EXPORT(add_bias);
HWY_EXPORT(swiglu);
HWY_EXPORT(geglu);
HWY_EXPORT(softcap);
}  // namespace

void rms_norm(const float* x, const float* weight, float eps, std::size_t tokens, std::size_t width,
              float* out) {
  HWY_DYNAMIC_DISPATCH(rms_norm)(x, weight, eps, tokens, width, out);
}

void layer_norm(const float* x, const float* weight, const float* bias, float eps, std::size_t tokens,
                std::size_t width, float* out) {
  HWY_DYNAMIC_DISPATCH(layer_norm)(x, weight, bias, eps, tokens, width, out);
}

void add_bias(float* x, const float* bias, std::size_t tokens, std::size_t width) {
  if (bias != nullptr) HWY_DYNAMIC_DISPATCH(add_bias)(x, bias, tokens, width);
}

void swiglu(const float* gate_up, std::size_t tokens, std::size_t width, float* out) {
  HWY_DYNAMIC_DISPATCH(swiglu)(gate_up, tokens, width, out);
}

void geglu(const float* gate_up, std::size_t tokens, std::size_t width, float* out) {
  HWY_DYNAMIC_DISPATCH(geglu)(gate_up, tokens, width, out);
}

void softcap(float* x, std::size_t count, float scale, float cap) {
  HWY_DYNAMIC_DISPATCH(softcap)(x, count, scale, cap);
}

}  // namespace llmq::torch_pass
#endif
