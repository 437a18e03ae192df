#include "llmq/allocate/loss_model.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "llmq/core/error.hpp"

namespace llmq {
namespace {

constexpr double kLeastLoss = 1e-12;  // below it a measured divergence is rounding
// Beyond the measured points divergence goes with a power of the error; one change in two that were measured
// may be noise, so the power is kept near 1, which second order theory says.
constexpr double kLeastSlope = 0.5, kMostSlope = 1.5;

double slope_between(const std::vector<double>& x, const std::vector<double>& y, std::size_t i) {
  const double run = x[i + 1] - x[i];
  return run > 0 ? std::clamp((y[i + 1] - y[i]) / run, kLeastSlope, kMostSlope) : 1.0;
}

}  // namespace

TensorRole role_of(std::string_view name) {
  if (!name.starts_with("blk.")) return {std::string(name), -1};
  int layer = -1;
  const auto [end, error] = std::from_chars(name.data() + 4, name.data() + name.size(), layer);
  if (error != std::errc() || end == name.data() + name.size() || *end != '.') return {std::string(name), -1};
  return {std::string(end + 1, name.data() + name.size()), layer};
}

double LossModel::Curve::at(double log_error) const {
  const std::size_t n = error.size();
  if (n == 1) return kld[0] + (log_error - error[0]);
  if (log_error <= error[0]) return kld[0] + (log_error - error[0]) * slope_between(error, kld, 0);
  if (log_error >= error[n - 1])
    return kld[n - 1] + (log_error - error[n - 1]) * slope_between(error, kld, n - 2);
  const auto above = std::upper_bound(error.begin(), error.end(), log_error);
  const auto i = static_cast<std::size_t>(above - error.begin()) - 1;
  const double run = error[i + 1] - error[i];
  return run > 0 ? kld[i] + (kld[i + 1] - kld[i]) * (log_error - error[i]) / run : kld[i + 1];
}

LossModel::LossModel(const Atlas& atlas) : atlas_(atlas) {
  for (const auto& [name, tensor] : atlas.tensors) {
    std::vector<std::pair<double, double>> points;
    for (const AtlasProbe& probe : tensor.probes) {
      const AtlasCell* cell = tensor.find(probe.type);
      if (cell == nullptr || tensor.relative_error(*cell) <= 0) continue;
      points.emplace_back(std::log(tensor.relative_error(*cell)), std::log(std::max(probe.kld, kLeastLoss)));
    }
    if (points.empty()) continue;
    std::sort(points.begin(), points.end());
    const auto [role, layer] = role_of(name);
    Curve curve;
    curve.layer = layer;
    for (const auto& [error, kld] : points) {
      curve.error.push_back(error);
      curve.kld.push_back(curve.kld.empty() ? kld : std::max(kld, curve.kld.back()));  // never falls
    }
    curves_[role].push_back(std::move(curve));
  }
  for (auto& [role, curves] : curves_) {
    std::sort(curves.begin(), curves.end(), [](const Curve& a, const Curve& b) { return a.layer < b.layer; });
  }
}

double LossModel::loss(const std::string& tensor, GgmlType type) const {
  const auto found = atlas_.tensors.find(tensor);
  const AtlasCell* cell = found == atlas_.tensors.end() ? nullptr : found->second.find(type);
  if (cell == nullptr)
    throw InternalError(fmt::format("the error table lacks {} of {}", type_name(type), tensor));
  const double error = found->second.relative_error(*cell);
  if (error <= 0) return 0;
  const auto [role, layer] = role_of(tensor);
  const auto curves = curves_.find(role);
  if (curves == curves_.end()) return error;
  const std::vector<Curve>& of_role = curves->second;
  const auto above = std::find_if(of_role.begin(), of_role.end(),
                                  [at = layer](const Curve& curve) { return curve.layer >= at; });
  if (above == of_role.end()) return std::exp(of_role.back().at(std::log(error)));
  const double high = above->at(std::log(error));
  if (above->layer == layer || above == of_role.begin()) return std::exp(high);
  const Curve& below = *(above - 1);
  const double low = below.at(std::log(error));
  const double part = static_cast<double>(layer - below.layer) / (above->layer - below.layer);
  return std::exp(low + (high - low) * part);
}

}  // namespace llmq
