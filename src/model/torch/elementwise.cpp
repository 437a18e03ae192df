#include "model/torch/elementwise.hpp"

#include <cmath>

namespace llmq::torch_pass {

void rms_norm(const float* x, const float* weight, float eps, std::size_t tokens, std::size_t width,
              float* out) {
  constexpr std::size_t kLanes = 8;  // fixed number of partial sums: vectorizes, and the order never changes
  for (std::size_t t = 0; t < tokens; ++t, x += width, out += width) {
    double lanes[kLanes] = {};
    const std::size_t whole = width / kLanes * kLanes;
    for (std::size_t j = 0; j < whole; j += kLanes) {
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        lanes[lane] += static_cast<double>(x[j + lane]) * static_cast<double>(x[j + lane]);
      }
    }
    double sum = 0;
    for (const double lane : lanes) sum += lane;
    for (std::size_t j = whole; j < width; ++j) sum += static_cast<double>(x[j]) * static_cast<double>(x[j]);
    const auto scale =
        static_cast<float>(1.0 / std::sqrt(sum / static_cast<double>(width) + static_cast<double>(eps)));
    for (std::size_t j = 0; j < width; ++j) out[j] = x[j] * scale * weight[j];
  }
}

void add_rows(float* x, const float* y, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) x[i] += y[i];
}

void add_bias(float* x, const float* bias, std::size_t tokens, std::size_t width, std::size_t stride) {
  if (bias == nullptr) return;
  for (std::size_t t = 0; t < tokens; ++t, x += stride) {
    for (std::size_t j = 0; j < width; ++j) x[j] += bias[j];
  }
}

void swiglu(const float* gate_up, std::size_t tokens, std::size_t width, float* out) {
  for (std::size_t t = 0; t < tokens; ++t, gate_up += 2 * width, out += width) {
    for (std::size_t j = 0; j < width; ++j) {
      const float gate = gate_up[j];
      out[j] = gate / (1.0F + std::exp(-gate)) * gate_up[width + j];
    }
  }
}

Rope::Rope(const std::vector<float>& inverse_frequencies, std::size_t max_positions)
    : half_(inverse_frequencies.size()), cos_(max_positions * half_), sin_(max_positions * half_) {
  for (std::size_t position = 0; position < max_positions; ++position) {
    for (std::size_t c = 0; c < half_; ++c) {
      // The angle is formed in f32, as runtimes do; its sine and cosine in f64, rounded once.
      const float angle = static_cast<float>(position) * inverse_frequencies[c];
      cos_[position * half_ + c] = static_cast<float>(std::cos(static_cast<double>(angle)));
      sin_[position * half_ + c] = static_cast<float>(std::sin(static_cast<double>(angle)));
    }
  }
}

void Rope::rotate(float* x, std::size_t heads, std::size_t tokens, std::size_t stride) const {
  for (std::size_t t = 0; t < tokens; ++t) {
    const float* cosine = &cos_[t * half_];
    const float* sine = &sin_[t * half_];
    for (std::size_t head = 0; head < heads; ++head) {
      float* first = x + t * stride + head * 2 * half_;
      float* second = first + half_;
      for (std::size_t c = 0; c < half_; ++c) {
        const float a = first[c];
        const float b = second[c];
        first[c] = a * cosine[c] - b * sine[c];
        second[c] = b * cosine[c] + a * sine[c];
      }
    }
  }
}

}  // namespace llmq::torch_pass
