// Models with activation outliers a hundred times as large as the other activations, made from models
// without.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "llmq/model/derived_source.hpp"
#include "llmq/smoothquant/mapping.hpp"
#include "llmq/smoothquant/scales.hpp"
#include "llmq/smoothquant/smoothed_source.hpp"

namespace llmq::testing_support {

/// The same function with outliers in some channels of the inputs of all products, and weights behind them
/// that are as much smaller.
inline Scalings outliers(const ModelSpec& spec) {
  Scalings scalings;
  for (const SmoothMapping& mapping : smooth_mappings(spec)) {
    std::vector<float> scales(mapping.channels, 1.0F);
    for (std::size_t j = 5 + mapping.layer; j < scales.size(); j += 61) scales[j] = 0.01F;
    fold(mapping, spec, scales, scalings);
  }
  return scalings;
}

/// Outliers as gated units of large models have them: at few tokens, with weights behind them as large as
/// any. In each layer the two units that matter least become louder copies of a third, and their weights
/// behind cancel: the function stays what it was without the two.
class SpikedSource final : public DerivedSource {
 public:
  /// @param ranges  of all mappings of the source
  SpikedSource(const ModelSource& source, const std::vector<ChannelRanges>& ranges) : DerivedSource(source) {
    const std::vector<SmoothMapping> mappings = smooth_mappings(source.spec());
    for (std::size_t m = 0; m < mappings.size(); ++m) {
      if (mappings[m].kind == FoldKind::up) spikes_.push_back(spike_of(ranges[m]));
    }
  }

  void read_rows(const ModelTensor& tensor, std::uint64_t row, std::uint64_t count, RowOrder order,
                 std::span<float> out) const override {
    source_.read_rows(tensor, row, count, order, out);
    if (tensor.layer < 0) return;
    const Spike& spike = spikes_[static_cast<std::size_t>(tensor.layer)];
    const std::uint64_t width = tensor.row_elems();
    if (tensor.name.ends_with("ffn_down.weight")) {
      for (std::uint64_t r = 0; r < count; ++r) {
        const auto values = out.subspan(r * width, width);
        const float weight = values[(spike.copied + 1) % width];
        values[spike.plus] = weight;
        values[spike.minus] = -weight;
      }
    } else if (tensor.name.ends_with("ffn_gate.weight") || tensor.name.ends_with("ffn_up.weight")) {
      const float louder = tensor.name.ends_with("ffn_up.weight") ? spike.louder : 1.0F;
      for (const std::uint64_t unit : {spike.plus, spike.minus}) {
        if (unit < row || unit >= row + count) continue;
        const auto values = out.subspan((unit - row) * width, width);
        source_.read_rows(tensor, spike.copied, 1, order, values);
        for (float& value : values) value *= louder;
      }
    }
  }
  std::string fingerprint() const override { return source_.fingerprint() + "-spiked"; }

 private:
  struct Spike {
    std::uint64_t plus, minus, copied;  ///< units
    float louder;                       ///< than what was copied
  };

  static Spike spike_of(const ChannelRanges& ranges) {
    std::vector<std::uint64_t> units(ranges.input.size());
    for (std::uint64_t j = 0; j < units.size(); ++j) units[j] = j;
    std::sort(units.begin(), units.end(), [&](std::uint64_t a, std::uint64_t b) {
      return ranges.input[a] * ranges.weight[a] < ranges.input[b] * ranges.weight[b];
    });
    std::vector<float> inputs = ranges.input;
    std::sort(inputs.begin(), inputs.end());
    const auto largest = std::max_element(ranges.input.begin(), ranges.input.end());
    return {units[0], units[1], static_cast<std::uint64_t>(largest - ranges.input.begin()),
            100 * inputs[inputs.size() / 2] / *largest};
  }

  std::vector<Spike> spikes_;  ///< by layer
};

}  // namespace llmq::testing_support
