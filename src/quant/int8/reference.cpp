#include "quant/int8/reference.hpp"

#include <algorithm>
#include <cmath>

namespace llmq::int8 {

std::int8_t code_of(float value, float scale) noexcept {
  return static_cast<std::int8_t>(std::nearbyint(std::clamp(value / scale, -127.0F, 127.0F)));
}

Int8Rows reference_rows(std::span<const float> x, std::size_t in_features) {
  Int8Rows rows{in_features, std::vector<std::int8_t>(x.size()), {}};
  for (std::size_t first = 0; first < x.size(); first += in_features) {
    float top = 0;
    for (const float value : x.subspan(first, in_features)) top = std::max(top, std::fabs(value));
    const float scale = top / 127;
    rows.scales.push_back(scale);
    if (scale == 0) continue;
    for (std::size_t i = first; i < first + in_features; ++i) rows.codes[i] = code_of(x[i], scale);
  }
  return rows;
}

void reference_matmul(const Int8Rows& a, std::span<const std::int8_t> codes, std::span<const float> scales,
                      std::span<const float> bias, std::span<float> y, Int8Output output) {
  for (std::size_t row = 0; row < a.scales.size(); ++row) {
    for (std::size_t n = 0; n < scales.size(); ++n) {
      std::int32_t sum = 0;
      for (std::size_t k = 0; k < a.in_features; ++k) {
        sum += a.codes[row * a.in_features + k] * codes[n * a.in_features + k];
      }
      float value = static_cast<float>(sum) * a.scales[row] * scales[n];
      if (!bias.empty()) value += bias[n];
      float& result = y[row * scales.size() + n];
      result = output == Int8Output::add ? result + value : value;
    }
  }
}

}  // namespace llmq::int8
