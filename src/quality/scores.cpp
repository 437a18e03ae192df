#include "llmq/quality/scores.hpp"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quality/scores.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "core/softmax-inl.h"

HWY_BEFORE_NAMESPACE();
namespace llmq::HWY_NAMESPACE {

constexpr std::size_t kBlock = 512;  // logits at a time: they and their exponentials stay in the first cache

/// Sums in f64: lane l adds columns l, l + 8, ... of all blocks; the lanes are added in order at the end.
/// Eight lanes are one, two or four vectors.
class Lanes {
 public:
  static constexpr std::size_t kCount = 8;

  /// sum += a_k, over a whole number of kCount columns.
  HWY_INLINE void add(const float* a, std::size_t count) {
    const Wide d;
    for_each(count, [&](std::size_t at, auto sum) HWY_ATTR { return hn::Add(sum, widen(d, a + at)); });
  }
  /// sum += a_k b_k, likewise. The products are exact.
  HWY_INLINE void add_products(const float* a, const float* b, std::size_t count) {
    const Wide d;
    for_each(count, [&](std::size_t at, auto sum)
                        HWY_ATTR { return hn::Add(sum, hn::Mul(widen(d, a + at), widen(d, b + at))); });
  }
  double total() const {
    double sum = 0;
    for (const double lane : lanes_) sum += lane;
    return sum;
  }

 private:
#if HWY_TARGET == HWY_SCALAR
  using Wide = hn::CappedTag<double, 1>;
#elif HWY_HAVE_SCALABLE
  using Wide = hn::FixedTag<double, 2>;
#else
  using Wide = hn::CappedTag<double, kCount>;
#endif
  static constexpr std::size_t kStep = hn::MaxLanes(Wide());

  HWY_INLINE static hn::Vec<Wide> widen(Wide d, const float* from) {
    return hn::PromoteTo(d, hn::LoadU(hn::Rebind<float, Wide>(), from));
  }
  template <class F>
  HWY_INLINE void for_each(std::size_t count, const F& f) {
    const Wide d;
    // Four chains at most run beside each other: one alone would wait for its own additions.
    constexpr std::size_t kChains = std::min<std::size_t>(4, kCount / kStep);
    for (std::size_t lane = 0; lane < kCount; lane += kChains * kStep) {
      double* const at = lanes_ + lane;
      auto sum0 = hn::Load(d, at);
      auto sum1 = kChains > 1 ? hn::Load(d, at + kStep % kCount) : hn::Zero(d);
      auto sum2 = kChains > 2 ? hn::Load(d, at + 2 * kStep % kCount) : hn::Zero(d);
      auto sum3 = kChains > 2 ? hn::Load(d, at + 3 * kStep % kCount) : hn::Zero(d);
      for (std::size_t k = lane; k < count; k += kCount) {
        sum0 = f(k, sum0);
        if constexpr (kChains > 1) sum1 = f(k + kStep, sum1);
        if constexpr (kChains > 2) sum2 = f(k + 2 * kStep, sum2);
        if constexpr (kChains > 2) sum3 = f(k + 3 * kStep, sum3);
      }
      hn::Store(sum0, d, at);
      if constexpr (kChains > 1) hn::Store(sum1, d, at + kStep);
      if constexpr (kChains > 2) hn::Store(sum2, d, at + 2 * kStep);
      if constexpr (kChains > 2) hn::Store(sum3, d, at + 3 * kStep);
    }
  }

  HWY_ALIGN double lanes_[kCount] = {};
};

/// Block by block: to(e^(z - max), z, columns) with both padded by zeros to a whole number of lanes.
template <class F>
HWY_INLINE void for_each_block(const float* logits, std::size_t count, float max, const F& to) {
  const hn::ScalableTag<float> d;
  const auto shift = hn::Set(d, max);
  HWY_ALIGN float z[kBlock];
  HWY_ALIGN float masses[kBlock];
  for (std::size_t first = 0; first < count; first += kBlock) {
    const std::size_t columns = std::min(kBlock, count - first);
    std::copy_n(logits + first, columns, z);
    std::fill(z + columns, z + kBlock, max);
    for (std::size_t i = 0; i < columns; i += hn::Lanes(d))
      hn::Store(exp_of_nonpositive(d, hn::Sub(hn::Load(d, z + i), shift)), d, masses + i);
    const std::size_t padded = (columns + Lanes::kCount - 1) / Lanes::kCount * Lanes::kCount;
    std::fill(masses + columns, masses + padded, 0.0F);
    std::fill(z + columns, z + padded, 0.0F);
    to(first, masses, z, columns, padded);
  }
}

void take_masses(float* logits, std::size_t count, float max, double* mass, double* products) {
  Lanes sums, weighted;
  for_each_block(logits, count, max,
                 [&](std::size_t first, const float* masses, const float* z, std::size_t columns,
                     std::size_t padded) HWY_ATTR {
                   sums.add(masses, padded);
                   weighted.add_products(masses, z, padded);
                   std::copy_n(masses, columns, logits + first);
                 });
  *mass = sums.total();
  *products = weighted.total();
}

void weigh(const float* original_masses, const float* logits, std::size_t count, float max, double* mass,
           double* products) {
  Lanes sums, weighted;
  HWY_ALIGN float original[kBlock];
  for_each_block(logits, count, max,
                 [&](std::size_t first, const float* masses, const float* z, std::size_t columns,
                     std::size_t padded) HWY_ATTR {
                   std::copy_n(original_masses + first, columns, original);
                   std::fill(original + columns, original + padded, 0.0F);
                   sums.add(masses, padded);
                   weighted.add_products(original, z, padded);
                 });
  *mass = sums.total();
  *products = weighted.total();
}

/// A NaN may be passed over: the sum of exponentials shows it.
float top_logit(const float* logits, std::size_t count) { return largest(logits, count); }

}  // namespace llmq::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

#include "llmq/core/error.hpp"

namespace llmq {
namespace {

HWY_EXPORT(take_masses);
HWY_EXPORT(weigh);
HWY_EXPORT(top_logit);

/// The largest logit and the first token that has it.
struct Top {
  float logit = 0;
  std::int32_t token = 0;
};

Top top_of(std::span<const float> logits) {
  const float max = HWY_DYNAMIC_DISPATCH(top_logit)(logits.data(), logits.size());
  return {max, static_cast<std::int32_t>(std::find(logits.begin(), logits.end(), max) - logits.begin())};
}

std::size_t checked_token(std::int32_t token, std::size_t vocab) {
  if (token < 0 || static_cast<std::size_t>(token) >= vocab) throw InternalError("scores: sizes do not fit");
  return static_cast<std::size_t>(token);
}

}  // namespace

ScoredRange scored_range(std::size_t ctx) noexcept {
  if (ctx < 3) return {0, 0};
  return {ctx / 2, ctx - 1};
}

bool OriginalPrediction::finite() const noexcept {
  return std::isfinite(log_sum) && std::isfinite(mean_logit);
}

OriginalPrediction take_original(std::span<float> logits, std::int32_t next_token) {
  const auto next = static_cast<double>(logits[checked_token(next_token, logits.size())]);
  const Top top = top_of(logits);
  OriginalPrediction original;
  double products = 0;
  HWY_DYNAMIC_DISPATCH(take_masses)(logits.data(), logits.size(), top.logit, &original.mass, &products);
  original.log_sum = static_cast<double>(top.logit) + std::log(original.mass);
  original.mean_logit = products / original.mass;
  original.nll = original.log_sum - next;
  original.top = top.token;
  return original;
}

PositionScore score_position(const OriginalPrediction& original, std::span<const float> masses,
                             std::span<const float> quantized, std::int32_t next_token) {
  if (masses.size() != quantized.size()) throw InternalError("scores: sizes do not fit");
  const std::size_t next = checked_token(next_token, quantized.size());
  const Top top = top_of(quantized);
  double mass = 0, products = 0;
  HWY_DYNAMIC_DISPATCH(weigh)(masses.data(), quantized.data(), quantized.size(), top.logit, &mass, &products);
  const double log_sum = static_cast<double>(top.logit) + std::log(mass);
  PositionScore score;
  score.nll_original = original.nll;
  score.nll_quantized = log_sum - static_cast<double>(quantized[next]);
  // sum p (z - w) - (ln sum e^z - ln sum e^w): the normalizers are the same for all k.
  score.kld = (original.mean_logit - products / original.mass) - (original.log_sum - log_sum);
  score.delta_p = std::exp(-score.nll_quantized) - std::exp(-score.nll_original);
  score.top_original = original.top;
  score.top_quantized = top.token;
  return score;
}

}  // namespace llmq

#endif  // HWY_ONCE
