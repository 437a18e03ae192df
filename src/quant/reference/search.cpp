#include "quant/reference/search.hpp"

#include <algorithm>
#include <cmath>

namespace llmq::search {
namespace {

constexpr float kZeroGroup = 1e-15F;
constexpr std::size_t kMaxGroup = 32;
constexpr int kAscentSweeps = 5;

/// The value of largest magnitude, first such.
float signed_maximum(std::span<const float> x) noexcept {
  float largest = 0;
  float value = 0;
  for (const float candidate : x) {
    if (std::fabs(candidate) > largest) largest = std::fabs(candidate), value = candidate;
  }
  return value;
}

/// Codes of one trial scale and the two sums that judge it.
struct Trial {
  float cross = 0;   // sum w x l
  float square = 0;  // sum w l^2
};

Trial try_symmetric(int n, float inverse, std::span<const float> x, std::span<const float> weights,
                    std::span<std::int8_t> levels) noexcept {
  for (std::size_t i = 0; i < x.size(); ++i) {
    levels[i] = static_cast<std::int8_t>(clamp(round_to_int(inverse * x[i]), -n, n - 1));
  }
  Trial trial;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto level = static_cast<float>(levels[i]);
    trial.cross += weights[i] * x[i] * level;
    trial.square += weights[i] * level * level;
  }
  return trial;
}

}  // namespace

float symmetric(int n, std::span<const float> x, std::span<const float> weights,
                std::span<std::uint8_t> codes) noexcept {
  const float top = signed_maximum(x);
  if (std::fabs(top) < kZeroGroup) {
    std::fill(codes.begin(), codes.end(), std::uint8_t{0});
    return 0;
  }
  std::int8_t levels[kMaxGroup];
  const std::span<std::int8_t> current(levels, x.size());
  float scale = 0;
  float best = 0;
  for (int t = 0; t <= 18; ++t) {
    const int step = t == 0 ? 0 : t <= 9 ? t - 10 : t - 9;  // 0, -9..-1, 1..9
    const float inverse = -(static_cast<float>(n) + 0.1F * static_cast<float>(step)) / top;
    const Trial trial = try_symmetric(n, inverse, x, weights, current);
    if (t > 0 && !(trial.square > 0 && trial.cross * trial.cross > best * trial.square)) continue;
    scale = trial.square > 0 ? trial.cross / trial.square : 0;
    best = scale * trial.cross;
    for (std::size_t i = 0; i < x.size(); ++i) codes[i] = static_cast<std::uint8_t>(levels[i] + n);
  }
  return scale;
}

ScaleMin asymmetric(const AsymmetricWalk& walk, std::span<const float> x, std::span<const float> weights,
                    std::span<std::uint8_t> codes) noexcept {
  float low = std::min(0.0F, x[0]);
  float high = x[0];
  float sum_w = 0;
  float sum_x = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    low = std::min(low, x[i]);
    high = std::max(high, x[i]);
    sum_w += weights[i];
    sum_x += weights[i] * x[i];
  }
  if (high <= low) {
    std::fill(codes.begin(), codes.end(), std::uint8_t{0});
    return {0, -low};
  }
  float inverse = static_cast<float>(walk.n) / (high - low);
  ScaleMin best{1 / inverse, low};  // `min` holds the signed minimum until the end
  float best_error = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const int level = clamp(round_to_int(inverse * (x[i] - low)), 0, walk.n);
    codes[i] = static_cast<std::uint8_t>(level);
    const float difference = best.d * static_cast<float>(level) + low - x[i];
    best_error += weights[i] * (difference * difference);
  }
  float trial_levels[kMaxGroup];
  for (int t = 0; t <= walk.steps; ++t) {
    inverse = (walk.first + walk.step * static_cast<float>(t) + static_cast<float>(walk.n)) / (high - low);
    const float top = static_cast<float>(walk.n);
    for (std::size_t i = 0; i < x.size(); ++i) {
      // Rounding by the magic sum, kept as float: integers up to 2^22 are exact.
      const float level = (inverse * (x[i] - low) + 12582912.0F) - 12582912.0F;
      trial_levels[i] = std::max(0.0F, std::min(top, level));
    }
    float sum_l = 0, sum_l2 = 0, sum_xl = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const float weighted = weights[i] * trial_levels[i];
      sum_l += weighted;
      sum_l2 += weighted * trial_levels[i];
      sum_xl += weighted * x[i];
    }
    const float determinant = sum_w * sum_l2 - sum_l * sum_l;
    if (!(determinant > 0)) continue;
    float d = (sum_w * sum_xl - sum_x * sum_l) / determinant;
    float minimum = (sum_l2 * sum_x - sum_l * sum_xl) / determinant;
    if (minimum > 0) {
      minimum = 0;
      d = sum_xl / sum_l2;
    }
    float error = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const float difference = d * trial_levels[i] + minimum - x[i];
      error += weights[i] * (difference * difference);
    }
    if (!(error < best_error)) continue;
    for (std::size_t i = 0; i < x.size(); ++i) codes[i] = static_cast<std::uint8_t>(trial_levels[i]);
    best_error = error;
    best = {d, minimum};
    low = minimum;  // later candidates start from the better minimum
  }
  return {best.d, -best.min};
}

float non_negative(int n, std::span<const float> values, std::span<const float> weights,
                   std::span<std::uint8_t> codes) noexcept {
  const float top = *std::max_element(values.begin(), values.end());
  if (top < kZeroGroup) {
    std::fill(codes.begin(), codes.end(), std::uint8_t{0});
    return 0;
  }
  float inverse = static_cast<float>(n) / top;
  const auto error_of = [&](float candidate, int cap) {
    const float scale = 1 / candidate;
    float error = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const int level = std::min(cap, round_to_int(candidate * values[i]));
      const float difference = values[i] - scale * static_cast<float>(level);
      error += weights[i] * difference * difference;
    }
    return error;
  };
  float best = error_of(inverse, n);
  for (int step = -4; step <= 4; ++step) {
    if (step == 0) continue;
    const float candidate = (0.1F * static_cast<float>(step) + static_cast<float>(n)) / top;
    const float error = error_of(candidate, n);
    if (error < best) best = error, inverse = candidate;
  }
  float cross = 0;
  float square = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const int level = std::min(n, round_to_int(inverse * values[i]));
    codes[i] = static_cast<std::uint8_t>(level);
    cross += weights[i] * values[i] * static_cast<float>(level);
    square += weights[i] * static_cast<float>(level) * static_cast<float>(level);
  }
  for (int sweep = 0; sweep < kAscentSweeps; ++sweep) {
    bool changed = false;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto old = static_cast<float>(codes[i]);
      float c = cross - weights[i] * values[i] * old;
      float s = square - weights[i] * old * old;
      if (!(c > 0 && s > 0)) continue;
      const int level = std::min(n, round_to_int(values[i] * s / c));
      if (level == codes[i]) continue;
      c += weights[i] * values[i] * static_cast<float>(level);
      s += weights[i] * static_cast<float>(level) * static_cast<float>(level);
      if (c * c * square > cross * cross * s) {
        codes[i] = static_cast<std::uint8_t>(level);
        cross = c, square = s;
        changed = true;
      }
    }
    if (!changed) break;
  }
  return square > 0 ? cross / square : 0;
}

}  // namespace llmq::search
