#include "pipeline/super_weights.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/parallel.hpp"
#include "llmq/model/forward.hpp"
#include "llmq/model/patched_source.hpp"
#include "llmq/pipeline/interrupt.hpp"

#include "pipeline/quality_evaluate.hpp"

namespace llmq {
namespace {

constexpr std::size_t kSearchSamples = 4;   // any text shows a spike
constexpr std::size_t kSearchTokens = 128;  // mostly at the first tokens
constexpr std::size_t kProofSamples = 16;
constexpr std::size_t kMostCandidates = 32;  // models have one to six

/// The weight whose product follows these inputs.
std::string down_name(const ModelSpec& spec, std::size_t layer, MatmulInput input) {
  const char* end = input == MatmulInput::experts_down ? "_exps" : spec.n_experts > 0 ? "_shexp" : "";
  return fmt::format("blk.{}.ffn_down{}.weight", layer, end);
}

std::size_t largest_magnitude(std::span<const float> values) {
  const auto smaller = [](float a, float b) { return std::fabs(a) < std::fabs(b); };
  return static_cast<std::size_t>(std::max_element(values.begin(), values.end(), smaller) - values.begin());
}

float weight_at(const ModelSource& source, const std::string& name, std::size_t row, std::size_t column) {
  const ModelTensor& tensor = *source.find(name);
  std::vector<float> values(tensor.row_elems());
  source.read_rows(tensor, row, 1, RowOrder::hugging_face, values);
  return values[column];
}

std::vector<WeightPatch> zeroed(std::span<const SuperWeight> weights) {
  std::vector<WeightPatch> patches;
  for (const SuperWeight& weight : weights)
    patches.push_back({weight.tensor, weight.row, weight.column, 0.0F});
  return patches;
}

/// A few short samples on their way through the layers, again and again with more weights left out.
class SpikeSearch {
 public:
  SpikeSearch(const StageContext& context, const ModelSource& source, const SampleSet& samples)
      : context_(context), source_(source), pass_(make_forward_pass(source.spec())) {
    const std::size_t count = std::min(kSearchSamples, samples.samples.size());
    boundaries_.resize(source.spec().n_layers + 1, std::vector<std::vector<float>>(count));
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t tokens = std::min(kSearchTokens, samples.samples[i].size());
      embed_tokens(source, std::span(samples.samples[i]).first(tokens), boundaries_[0][i]);
    }
  }

  std::vector<SuperWeight> run() {
    std::vector<DownSpike> layers(source_.spec().n_layers);
    std::size_t from = 0;
    while (found_.size() < kMostCandidates) {
      const PatchedSource rest(source_, zeroed(found_));
      for (std::size_t layer = from; layer < layers.size(); ++layer) layers[layer] = pass_layer(rest, layer);
      for (std::size_t layer = 0; layer < layers.size(); ++layer) {
        context_.log.debug(fmt::format(
            "round {}, {}: largest input {:.4g} ({}), output {:.4g} ({}), share {:.2f}", found_.size() + 1,
            layers[layer].tensor, layers[layer].max_input, layers[layer].column, layers[layer].max_output,
            layers[layer].row, layers[layer].share));
      }
      from = find_spike(layers);  // what is before it stays as it was
      if (from == layers.size()) return found_;
      const DownSpike& spike = layers[from];
      found_.push_back(
          {spike.tensor, spike.row, spike.column, spike.value, spike.max_input, spike.max_output});
    }
    context_.log.warn(fmt::format("the search for super weights stops after {} candidates", found_.size()));
    return found_;
  }

 private:
  /// Runs one layer over all samples; the strongest of their spikes. Experts have one product each.
  DownSpike pass_layer(const ModelSource& source, std::size_t layer) {
    stop_if_asked();
    const auto weights = pass_->load_layer(static_cast<std::uint32_t>(layer), make_weight_loader(source));
    std::vector<DownSpike> spikes(boundaries_[layer].size());
    parallel_for(spikes.size(), context_.threads, [&](std::size_t i, std::size_t) {
      boundaries_[layer + 1][i] = boundaries_[layer][i];
      MatmulRows input;
      pass_->run_layer(
          *weights, boundaries_[layer + 1][i], [&](const MatmulRows& rows) { input = rows; },
          [&](std::span<const float> y, std::size_t out_features) {
            const DownSpike spike = measure(source, layer, input, y, out_features);
            if (spikes[i].tensor.empty() || spikes[i].max_output < spike.max_output) spikes[i] = spike;
          });
    });
    return *std::max_element(spikes.begin(), spikes.end(), [](const DownSpike& a, const DownSpike& b) {
      return a.max_output < b.max_output;
    });
  }

  static DownSpike measure(const ModelSource& source, std::size_t layer, const MatmulRows& input,
                           std::span<const float> y, std::size_t out_features) {
    const std::span<const float> x = input.x;
    const std::size_t in = largest_magnitude(x), out = largest_magnitude(y), in_features = input.in_features;
    DownSpike spike;
    spike.tensor = down_name(source.spec(), layer, input.input);
    spike.max_input = std::fabs(static_cast<double>(x[in]));
    spike.max_output = std::fabs(static_cast<double>(y[out]));
    spike.column = in % in_features;
    spike.row = input.expert * out_features + out % out_features;
    spike.value = weight_at(source, spike.tensor, spike.row, spike.column);
    const double part = spike.value * static_cast<double>(x[out / out_features * in_features + spike.column]);
    spike.share = spike.max_output > 0 ? std::fabs(part) / spike.max_output : 0;
    return spike;
  }

  const StageContext& context_;
  const ModelSource& source_;
  std::unique_ptr<ForwardPass> pass_;
  std::vector<std::vector<std::vector<float>>> boundaries_;  ///< by layer, then sample
  std::vector<SuperWeight> found_;
};

/// The lower one of an even number: half of the layers of a small model may spike.
double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>((values.size() - 1) / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Plain numbers of a candidate, to be sent to the other ranks.
struct Coordinates {
  std::uint64_t tensor;  ///< its index in the source
  std::uint64_t row, column;
  double value, max_input, max_output;
};

}  // namespace

std::size_t find_spike(std::span<const DownSpike> layers) {
  std::vector<double> inputs, outputs;
  for (const DownSpike& layer : layers) {
    inputs.push_back(layer.max_input);
    outputs.push_back(layer.max_output);
  }
  if (layers.empty()) return 0;
  const double input = kInputFactor * median(inputs), output = kOutputFactor * median(outputs);
  const auto spikes = [&](const DownSpike& layer) {
    return layer.max_input > input && layer.max_output > output && layer.share >= kSpikeShare;
  };
  return static_cast<std::size_t>(std::find_if(layers.begin(), layers.end(), spikes) - layers.begin());
}

std::vector<SuperWeight> find_candidates(const StageContext& context, const ModelSource& source,
                                         const SampleSet& samples) {
  std::vector<Coordinates> found;
  context.comm.together("search super weights", [&] {
    if (!context.comm.is_root()) return;
    for (const SuperWeight& weight : SpikeSearch(context, source, samples).run()) {
      const auto index = static_cast<std::uint64_t>(source.find(weight.tensor) - source.tensors().data());
      found.push_back({index, weight.row, weight.column, weight.value, weight.max_input, weight.max_output});
    }
  });
  std::uint64_t count = found.size();
  context.comm.broadcast(std::span<std::uint64_t>(&count, 1), 0, "share candidates");
  found.resize(count);
  context.comm.broadcast(std::span(found), 0, "share candidates");
  std::vector<SuperWeight> candidates;
  for (const Coordinates& at : found)
    candidates.push_back(
        {source.tensors()[at.tensor].name, at.row, at.column, at.value, at.max_input, at.max_output});
  return candidates;
}

std::vector<SuperWeight> prove(const StageContext& context, const ModelSource& source,
                               const SampleSet& samples, const std::vector<SuperWeight>& candidates) {
  if (candidates.empty()) return {};
  SampleSet some = samples;
  some.samples.resize(std::min(kProofSamples, samples.samples.size()));
  std::vector<std::unique_ptr<PatchedSource>> without;
  std::vector<Candidate> models;
  for (const SuperWeight& candidate : candidates) {
    without.push_back(std::make_unique<PatchedSource>(source, zeroed(std::span(&candidate, 1))));
    const auto layer = static_cast<std::uint32_t>(source.find(candidate.tensor)->layer);
    models.push_back({without.back().get(), ModelDifference{false, {layer}, false}});
  }
  const auto scores = evaluate_candidates(context, some, source, models);
  std::vector<SuperWeight> proved;
  if (!context.comm.is_root()) return proved;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    SuperWeight weight = candidates[i];
    const QualityMetrics metrics = scores.candidates[i].summary.metrics();
    weight.loss_change = metrics.ln_ratio;
    weight.kl_divergence = metrics.kld.mean;
    const bool super = weight.kl_divergence >= kProvedDivergence;
    context.log.detail(
        fmt::format("{} [{}, {}]: without it the loss changes by {:+.4g}, KL divergence {:.4g}: {}",
                    weight.tensor, weight.row, weight.column, weight.loss_change, weight.kl_divergence,
                    super ? "a super weight" : "none"));
    if (super) proved.push_back(std::move(weight));
  }
  return proved;
}

}  // namespace llmq
