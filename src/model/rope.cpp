// What scalings make of rotation frequencies. SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <numbers>

#include "llmq/model/spec.hpp"

namespace llmq {
namespace {

/// Turns over the original context that bound YaRN's ramp: runtimes take them for granted.
constexpr double kManyTurns = 32, kFewTurns = 1;

}  // namespace

std::vector<float> ModelSpec::rope_freq_factors() const {
  if (!stored_rope_factors.empty()) return stored_rope_factors;
  if (rope_scaling != RopeScaling::llama3) return {};
  std::vector<float> factors(rotated_dims() / 2);
  for (std::size_t n = 0; n < factors.size(); ++n) {
    const double exponent = 2.0 * static_cast<double>(n) / rotated_dims();
    const double wavelength = 2.0 * std::numbers::pi * std::pow(rope_theta, exponent);
    double factor = 1.0;
    if (wavelength > rope_original_context / rope_low_freq_factor) {
      factor = rope_factor;
    } else if (wavelength >= rope_original_context / rope_high_freq_factor) {
      const double smooth = (rope_original_context / wavelength - rope_low_freq_factor) /
                            (rope_high_freq_factor - rope_low_freq_factor);
      factor = 1.0 / ((1.0 - smooth) / rope_factor + smooth);
    }
    factors[n] = static_cast<float>(factor);
  }
  return factors;
}

double ModelSpec::yarn_share(std::size_t c) const {
  const double dims = rotated_dims();
  // Index of the frequency that turns so many times over the original context.
  const auto index_of = [&](double turns) {
    return dims * std::log(rope_original_context / (turns * 2.0 * std::numbers::pi)) /
           (2.0 * std::log(rope_theta));
  };
  const double first = std::max(0.0, std::floor(index_of(kManyTurns)));
  const double last = std::min(dims - 1.0, std::ceil(index_of(kFewTurns)));
  const double slow = std::clamp((static_cast<double>(c) - first) / std::max(0.001, last - first), 0.0, 1.0);
  return 1.0 - slow + slow / rope_factor;
}

double ModelSpec::yarn_attention() const {
  return rope_factor > 1.0 ? 0.1 * std::log(rope_factor) + 1.0 : 1.0;
}

float ModelSpec::rotated_scale() const {
  if (rope_scaling != RopeScaling::yarn) return rope_attention_factor;
  return static_cast<float>(static_cast<double>(rope_attention_factor) * yarn_attention());
}

}  // namespace llmq
