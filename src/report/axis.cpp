#include "report/axis.hpp"

#include <algorithm>
#include <cmath>

namespace llmq {

std::vector<double> log_ticks(double min, double max) {
  const bool wide = max / min > 1e4;
  std::vector<double> ticks;
  for (int power = static_cast<int>(std::floor(std::log10(min))) - 1;; ++power) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      if (wide && factor > 1) continue;
      const double tick = factor * std::pow(10.0, power);
      if (tick <= min) ticks.clear();
      ticks.push_back(tick);
      if (tick >= max && ticks.size() > 1) return ticks;
    }
  }
}

std::vector<double> linear_ticks(double min, double max) {
  if (!(min < max)) max = min + std::max(1.0, std::fabs(min));
  const double rough = (max - min) / 5;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {5.0, 2.0, 1.0}) {
    if (factor * power >= rough) step = factor * power;
  }
  std::vector<double> ticks;
  for (double tick = std::floor(min / step) * step;; tick += step) {
    ticks.push_back(std::fabs(tick) < step / 1e6 ? 0 : tick);
    if (tick >= max) return ticks;
  }
}

double Axis::place(double figure) const {
  if (!log) return std::clamp((figure - low) / (high - low), 0.0, 1.0);
  if (!(figure > low)) return 0;
  return std::min(1.0, std::log(figure / low) / std::log(high / low));
}

Axis make_axis(const std::vector<double>& figures, bool log) {
  double min = INFINITY, max = -INFINITY, least = INFINITY;
  for (const double figure : figures) {
    min = std::min(min, figure);
    max = std::max(max, figure);
    if (figure > 0) least = std::min(least, figure);
  }
  log = log && max > 0;
  const bool zero_low = log && !(min > 0);
  std::vector<double> ticks = log ? log_ticks(zero_low ? least / 4 : least, max) : linear_ticks(min, max);
  return {ticks.front(), ticks.back(), ticks, log, zero_low};
}

Axis make_tight_axis(const std::vector<double>& figures) {
  Axis axis = make_axis(figures, false);
  const auto [min, max] = std::minmax_element(figures.begin(), figures.end());
  if (!(*min < *max)) return axis;
  axis.low = *min;
  axis.high = *max;
  std::erase_if(axis.ticks, [&](double tick) { return tick < axis.low || tick > axis.high; });
  return axis;
}

}  // namespace llmq
