#include "pipeline/smooth_descent.hpp"

#include <cmath>
#include <cstddef>

namespace llmq {
namespace {

constexpr int kSteps = 80;
constexpr double kFirstStep = 0.1;
constexpr double kMeanDecay = 0.9, kSquareDecay = 0.99;
constexpr double kTiny = 1e-8;

}  // namespace

std::vector<double> descend(std::vector<double> x, const DescentFunction& function) {
  std::vector<double> best = x, gradient, mean(x.size(), 0), square(x.size(), 0);
  double lowest = 0, mean_left = 1, square_left = 1;
  for (int step = 0; step < kSteps; ++step) {
    const double value = function(x, gradient);
    if (step == 0 || value < lowest) {
      lowest = value;
      best = x;
    }
    if (!(value > 0)) break;
    mean_left *= kMeanDecay;
    square_left *= kSquareDecay;
    const double length = kFirstStep * (1 - static_cast<double>(step) / kSteps);
    for (std::size_t j = 0; j < x.size(); ++j) {
      const double slope = gradient[j] / value;
      mean[j] = kMeanDecay * mean[j] + (1 - kMeanDecay) * slope;
      square[j] = kSquareDecay * square[j] + (1 - kSquareDecay) * slope * slope;
      x[j] -= length * (mean[j] / (1 - mean_left)) / (std::sqrt(square[j] / (1 - square_left)) + kTiny);
    }
  }
  return best;
}

}  // namespace llmq
