#include "pipeline/smooth_search.hpp"

#include <cmath>
#include <cstdint>
#include <memory>

#include "pipeline/smooth_fit.hpp"
#include "pipeline/smooth_inputs.hpp"
#include "pipeline/smooth_trial.hpp"

namespace llmq {
namespace {

constexpr double kHalf = 0.5;

/// What may be chosen, in this order: the first of equal ones wins. The noise model has a say, too: it knows
/// the largest inputs of all tokens, and held-out samples may be without a channel's rare outliers.
enum Choice : std::size_t { at_half, at_alpha, refined, unfolded, kChoices };

class ScaleSearch {
 public:
  ScaleSearch(const StageContext& context, const ModelSource& source,
              const std::vector<SmoothMapping>& mappings, const std::vector<ChannelRanges>& ranges)
      : context_(context),
        source_(source),
        mappings_(mappings),
        ranges_(ranges),
        pass_(make_forward_pass(source.spec())) {}

  std::vector<SmoothChoice> run(const SampleSet& fitting, const SampleSet& held_out) {
    std::unique_ptr<SampleWalk> fit, rest;
    context_.comm.together("begin the samples of scales", [&] {
      fit = std::make_unique<SampleWalk>(context_, source_, *pass_, fitting, kFitTokens);
      rest = std::make_unique<SampleWalk>(context_, source_, *pass_, held_out, kHeldOutTokens);
    });
    const WeightLoader loader = make_weight_loader(source_);
    std::vector<SmoothChoice> choices(mappings_.size());
    for (std::uint32_t layer = 0; layer < source_.spec().n_layers; ++layer) {
      TakenInputs fit_inputs, rest_inputs;
      context_.comm.together("run a layer for scales", [&] {
        if (fit->empty() && rest->empty()) return;
        const auto weights = pass_->load_layer(layer, loader);
        fit_inputs = fit->advance(*weights);
        rest_inputs = rest->advance(*weights);
      });
      for (std::size_t m = 0; m < mappings_.size(); ++m) {
        const auto input = static_cast<std::size_t>(mappings_[m].input);
        if (mappings_[m].layer == layer) choices[m] = choose(m, fit_inputs[input], rest_inputs[input]);
      }
    }
    return choices;
  }

 private:
  SmoothChoice choose(std::size_t m, const std::vector<std::vector<float>>& fit_inputs,
                      const std::vector<std::vector<float>>& rest_inputs) const {
    const std::vector<float> half = smooth_scales(ranges_[m], kHalf);
    SmoothChoice choice;
    std::vector<std::vector<float>> scales(kChoices);
    scales[unfolded].assign(half.size(), 1.0F);
    scales[at_half] = half;
    std::vector<bool> eligible(kChoices);
    {
      const NoiseModel model(context_, source_, mappings_[m], fit_inputs, ranges_[m], half);
      choice.alpha = best_exponent(m, model);
      scales[at_alpha] = smooth_scales(ranges_[m], choice.alpha);
      scales[refined] = model.minimize(scales[at_alpha]);
      const double bound = model.error(half);
      for (std::size_t which = 0; which < kChoices; ++which)
        eligible[which] = model.error(scales[which]) <= bound;
    }
    const TrialErrors errors = try_scales(context_, source_, *pass_, mappings_[m], rest_inputs, half, scales);
    const auto relative = [&](std::size_t which) {
      return errors.product > 0 ? std::sqrt(errors.choices[which] / errors.product) : 0.0;
    };
    std::size_t best = at_half;
    for (std::size_t which = 0; which < kChoices; ++which) {
      if (eligible[which] && errors.choices[which] < errors.choices[best]) best = which;
    }
    choice.folded = best != unfolded;
    choice.refined = best == refined;
    if (best == at_half) choice.alpha = kHalf;
    choice.scales = std::move(scales[best]);
    choice.measured = true;
    choice.error = relative(best);
    choice.error_at_half = relative(at_half);
    choice.error_at_alpha = relative(at_alpha);
    choice.error_unfolded = relative(unfolded);
    return choice;
  }

  double best_exponent(std::size_t m, const NoiseModel& model) const {
    double best = kHalf, lowest = 0;
    for (const double alpha : kTriedAlphas) {
      const double error = model.error(smooth_scales(ranges_[m], alpha));
      if (alpha != kTriedAlphas[0] && error >= lowest) continue;
      lowest = error;
      best = alpha;
    }
    return best;
  }

  const StageContext& context_;
  const ModelSource& source_;
  const std::vector<SmoothMapping>& mappings_;
  const std::vector<ChannelRanges>& ranges_;
  std::unique_ptr<ForwardPass> pass_;
};

}  // namespace

std::vector<SmoothChoice> choose_scales(const StageContext& context, const ModelSource& source,
                                        const std::vector<SmoothMapping>& mappings,
                                        const std::vector<ChannelRanges>& ranges, const SampleSet& fitting,
                                        const SampleSet& held_out) {
  return ScaleSearch(context, source, mappings, ranges).run(fitting, held_out);
}

}  // namespace llmq
