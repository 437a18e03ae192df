#include "pipeline/smooth_stage.hpp"

#include <algorithm>
#include <chrono>
#include <set>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"
#include "llmq/pipeline/samples.hpp"

#include "pipeline/layer_statistics.hpp"
#include "pipeline/run_imatrix.hpp"
#include "pipeline/smooth_folding.hpp"
#include "pipeline/smooth_ranges.hpp"
#include "pipeline/smooth_search.hpp"

namespace llmq {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kAnalysisCtx = 512;
// Scales are fitted to many short samples: many texts, and states that fit beside a layer.
constexpr std::uint64_t kSearchCtx = 128;
constexpr std::size_t kFitSamples = 256, kHeldOutSamples = kHeldOutTokens / kSearchCtx;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// The calibration text, its end apart.
struct SearchSamples {
  SampleSet fitting, held_out;
  std::uint64_t tokens = 0;  ///< of the text before its end: what ranges may be taken from
};

/// Some samples, evenly spread.
void thin_out(std::vector<std::vector<TokenId>>& samples, std::size_t most) {
  if (samples.size() <= most) return;
  for (std::size_t i = 0; i < most; ++i) samples[i] = std::move(samples[i * samples.size() / most]);
  samples.resize(most);
}

SearchSamples search_samples(const StageContext& context, const ModelSource& source,
                             const QuantizeOptions& options) {
  SearchSamples samples;
  samples.fitting = calibration_samples(context, source, options, kSearchCtx);
  std::vector<std::vector<TokenId>>& all = samples.fitting.samples;
  samples.held_out = samples.fitting;
  if (all.size() >= 2) {
    const auto count = std::clamp<std::size_t>(all.size() / 4, 1, kHeldOutSamples);
    const auto border = all.end() - static_cast<std::ptrdiff_t>(count);
    samples.held_out.samples.assign(border, all.end());
    all.erase(border, all.end());
  }
  samples.tokens = all.size() * samples.fitting.ctx;
  thin_out(all, kFitSamples);
  return samples;
}

/// Of one rank while scales are searched: states of its samples, what a layer takes in at some tokens, the
/// layer, and one mapping's weights.
std::uint64_t search_bytes(const StageContext& context, const ModelSource& source,
                           const SearchSamples& samples) {
  const ModelSpec& spec = source.spec();
  const auto ranks = static_cast<std::uint64_t>(context.comm.size());
  const std::uint64_t tokens =
      (samples.fitting.samples.size() + samples.held_out.samples.size() + ranks) * samples.fitting.ctx;
  std::uint64_t widths = 0, layer = 0, largest = 0;
  for (std::size_t input = 0; input < kLayerInputs; ++input)
    widths += input_width(spec, static_cast<MatmulInput>(input));
  for (const ModelTensor& tensor : source.tensors()) {
    if (tensor.layer != 0) continue;
    layer += tensor.elements();
    largest = std::max(largest, tensor.elements());
  }
  return 4 * (tokens * spec.hidden_size / ranks + 2 * (kFitTokens + kHeldOutTokens) * widths / ranks + layer +
              4 * largest);
}

/// One run of the stage, a step a function.
class SmoothStage {
 public:
  SmoothStage(const StageContext& context, const QuantizeOptions& options, const ModelSource& source,
              const KeptWeights& kept, SmoothQuantResult& result)
      : context_(context),
        options_(options),
        smooth_(*options.smoothquant),
        source_(source),
        result_(result) {
    for (const auto& [name, dtype] : kept) kept_.insert(name);
    mappings_ = coded_mappings(source, kept_);
    fixed_ = smooth_.activations == ActivationScales::fixed;
  }

  SmoothedModel run(const CheckpointOptions& checkpoints) {
    if (!smooth_.alpha) {
      context_.comm.together("read the calibration text", [&] {
        samples_ = search_samples(context_, source_, options_);
        require_memory(context_, search_bytes(context_, source_, *samples_), "the search of scales");
      });
    }
    find_imatrix(checkpoints);
    measure_ranges();
    choose();
    report();
    SmoothedModel model;
    context_.comm.together("fold", [&] {
      model.scalings = fold_choices(source_.spec(), mappings_, choices_);
      if (fixed_) model.input_scales = fixed_input_scales(source_, imatrix_.imatrix, model.scalings, kept_);
    });
    return model;
  }

 private:
  /// A matrix with the largest inputs: the given one if it has them, else one made now or earlier.
  void find_imatrix(const CheckpointOptions& checkpoints) {
    std::vector<std::string> missing;
    if (options_.imatrix) {
      imatrix_ = given_imatrix(context_, *options_.imatrix);
      context_.comm.together("look at the importance matrix",
                             [&] { missing = without_input_ranges(imatrix_.imatrix, source_, kept_); });
      if (!missing.empty()) {
        context_.log.warn(fmt::format("{} has no largest inputs of {} weights ({}): measuring all of them",
                                      options_.imatrix->string(), missing.size(), join_some(missing)));
      }
    }
    if (!options_.imatrix || !missing.empty()) {
      std::uint64_t samples = options_.calibration_samples.value_or(kDefaultCalibrationSamples);
      if (samples_) {  // held-out samples are for judging
        const std::uint64_t ctx = std::min<std::uint64_t>(kAnalysisCtx, source_.spec().context_length);
        samples = std::clamp<std::uint64_t>(samples_->tokens / ctx, 1, samples);
      }
      imatrix_ = analyzed_imatrix(context_, options_, samples, smooth_.imatrix_cache, checkpoints);
    }
    result_.imatrix = imatrix_.path;
    result_.imatrix_reused = imatrix_.reused;
  }

  void measure_ranges() {
    const Clock::time_point start = Clock::now();
    context_.log.status("Measuring the ranges of weights");
    columns_ = measure_columns(context_, source_, mappings_);
    ranges_ = channel_ranges(source_.spec(), imatrix_.imatrix, columns_, mappings_);
    result_.range_seconds = seconds_since(start);
  }

  MappingFacts facts(std::size_t m) const { return {mappings_[m], source_, imatrix_.imatrix, columns_}; }

  void choose() {
    const Clock::time_point start = Clock::now();
    if (smooth_.alpha) {
      context_.comm.together("fold", [&] { choose_by_exponent(*smooth_.alpha); });
    } else {
      choose_by_trial();
    }
    context_.comm.together("fold", [&] {
      for (std::size_t m = 0; m < mappings_.size(); ++m) {
        if (choices_[m].folded)
          choices_[m].scales = scales_as_stored(source_, mappings_[m], choices_[m].scales);
      }
    });
    result_.search_seconds = smooth_.alpha ? 0 : seconds_since(start);
  }

  /// Norms are folded as asked; values and up-projections where that makes the noise smaller.
  void choose_by_exponent(double alpha) {
    for (std::size_t m = 0; m < mappings_.size(); ++m) {
      SmoothChoice choice{true, alpha, false, smooth_scales(ranges_[m], alpha)};
      const bool helps = mappings_[m].kind == FoldKind::norm ||
                         error_bound(facts(m), choice.scales, fixed_) < error_bound(facts(m), {}, fixed_);
      if (!helps || !may_fold(source_, mappings_[m], kept_)) choice = {false, alpha, false, {}};
      choices_.push_back(std::move(choice));
    }
  }

  /// Of the mappings that may be folded; the others stay as they are.
  void choose_by_trial() {
    std::vector<SmoothMapping> mappings;
    std::vector<ChannelRanges> ranges;
    for (std::size_t m = 0; m < mappings_.size(); ++m) {
      if (!may_fold(source_, mappings_[m], kept_)) continue;
      mappings.push_back(mappings_[m]);
      ranges.push_back(ranges_[m]);
    }
    context_.log.status(fmt::format("Searching scales: {} inputs, {} samples, {} to judge them",
                                    mappings.size(), samples_->fitting.samples.size(),
                                    samples_->held_out.samples.size()));
    std::vector<SmoothChoice> found =
        choose_scales(context_, source_, mappings, ranges, samples_->fitting, samples_->held_out);
    for (std::size_t m = 0, next = 0; m < mappings_.size(); ++m) {
      const bool searched = may_fold(source_, mappings_[m], kept_);
      choices_.push_back(searched ? std::move(found[next++]) : SmoothChoice{false, 0, false, {}});
      if (!choices_[m].folded) choices_[m].scales.clear();
    }
  }

  void report() {
    context_.comm.together("judge the scales", [&] {
      for (std::size_t m = 0; m < mappings_.size(); ++m)
        result_.mappings.push_back(describe_mapping(facts(m), ranges_[m], choices_[m], fixed_));
      require_representable(mappings_, result_.mappings, ranges_);
      const std::string advice = advice_on_wide_channels(mappings_, result_.mappings);
      if (!advice.empty()) context_.log.warn(advice);
    });
  }

  const StageContext& context_;
  const QuantizeOptions& options_;
  const SmoothQuantOptions& smooth_;
  const ModelSource& source_;
  SmoothQuantResult& result_;
  std::set<std::string> kept_;
  bool fixed_;
  std::vector<SmoothMapping> mappings_;
  std::optional<SearchSamples> samples_;
  RunImatrix imatrix_;
  ColumnMap columns_;
  std::vector<ChannelRanges> ranges_;
  std::vector<SmoothChoice> choices_;
};

}  // namespace

SmoothedModel smooth_model(const StageContext& context, const QuantizeOptions& options,
                           const ModelSource& source, const KeptWeights& kept,
                           const CheckpointOptions& checkpoints, SmoothQuantResult& result) {
  return SmoothStage(context, options, source, kept, result).run(checkpoints);
}

}  // namespace llmq
