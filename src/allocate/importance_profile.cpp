#include "llmq/allocate/importance_profile.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include <fmt/format.h>

namespace llmq {
namespace {

constexpr double kLeastBits = 2;
constexpr double kMostBits = 8;
constexpr int kBisections = 60;

/// -1 for what is outside the layers.
std::int32_t layer_of(std::string_view gguf_name) {
  std::int32_t layer = -1;
  if (!gguf_name.starts_with("blk.")) return -1;
  const auto [end, error] = std::from_chars(gguf_name.data() + 4, gguf_name.data() + gguf_name.size(), layer);
  const bool whole = error == std::errc{} && end != gguf_name.data() + gguf_name.size() && *end == '.';
  return whole ? layer : -1;
}

bool names_layer(const SuperWeights& weights, std::int32_t layer) {
  return std::any_of(weights.spikes.begin(), weights.spikes.end(),
                     [&](const SuperWeight& one) { return layer_of(one.tensor) == layer; }) ||
         std::any_of(weights.covered.begin(), weights.covered.end(),
                     [&](const auto& one) { return !one.second.empty() && layer_of(one.first) == layer; });
}

/// Half the binary logarithm of each importance, its mean subtracted. What has none counts as the least that
/// is there.
std::vector<double> relative_bits(std::span<const LayerImportance> layers) {
  double least = 0;
  for (const LayerImportance& one : layers) {
    if (one.importance > 0 && (least == 0 || one.importance < least)) least = one.importance;
  }
  std::vector<double> bits;
  double sum = 0;
  for (const LayerImportance& one : layers) {
    bits.push_back(least == 0 ? 0.0 : 0.5 * std::log2(std::max(one.importance, least)));
    sum += bits.back();
  }
  for (double& one : bits) one -= sum / static_cast<double>(bits.size());
  return bits;
}

}  // namespace

std::vector<LayerImportance> layer_importance(const Imatrix& imatrix) {
  struct Sum {
    double importance = 0;
    double columns = 0;
  };
  std::map<std::int32_t, Sum> sums;
  for (const auto& [name, entry] : imatrix.entries) {
    const std::int32_t layer = layer_of(name);
    if (layer < 0) continue;
    Sum& sum = sums[layer];
    for (std::uint64_t mat = 0; mat < entry.n_mat; ++mat) {
      if (entry.importance_count(mat) == 0) continue;
      for (const float column : entry.importance(mat)) sum.importance += static_cast<double>(column);
      sum.columns += static_cast<double>(entry.in_features);
    }
  }
  std::vector<LayerImportance> layers;
  for (const auto& [layer, sum] : sums) {
    layers.push_back({layer, sum.columns == 0 ? 0 : sum.importance / sum.columns,
                      names_layer(imatrix.super_weights, layer)});
  }
  return layers;
}

std::vector<LayerAssignment> assign_by_importance(std::span<const LayerImportance> layers,
                                                  double target_bits) {
  const double low = std::min(kLeastBits, target_bits), high = std::max(kMostBits, target_bits);
  const std::vector<double> relative = relative_bits(layers);
  const auto mean_at = [&](double offset) {
    double sum = 0;
    for (const double one : relative) sum += std::clamp(offset + one, low, high);
    return sum / static_cast<double>(relative.size());
  };
  double below = -1e4, above = 1e4;  // more than the logarithms of doubles reach
  for (int step = 0; step < kBisections; ++step) {
    const double middle = (below + above) / 2;
    (mean_at(middle) < target_bits ? below : above) = middle;
  }
  std::vector<LayerAssignment> assignments;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const double bits = std::round(100 * std::clamp(above + relative[i], low, high)) / 100;
    assignments.push_back(
        {fmt::format("model.layers.{}", layers[i].layer), bits, layers[i].has_super_weights, {}});
  }
  return assignments;
}

}  // namespace llmq
