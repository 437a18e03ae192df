#include "pipeline/smooth_stage.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <set>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"
#include "llmq/embedded/texts.hpp"
#include "llmq/pipeline/samples.hpp"

#include "pipeline/run_imatrix.hpp"
#include "pipeline/smooth_folding.hpp"
#include "pipeline/smooth_ranges.hpp"
#include "pipeline/smooth_search.hpp"

namespace llmq {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kCtx = 512;
constexpr std::uint64_t kManySamples = std::uint64_t{1} << 20;
constexpr std::uint64_t kHeldOut = 16;  ///< samples at the text's end that judge exponents

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// The calibration text, its end apart.
struct SearchSamples {
  SampleSet fitting, held_out;
};

SearchSamples search_samples(const StageContext& context, const ModelSource& source,
                             const QuantizeOptions& options) {
  const auto tokenizer = make_tokenizer(source.vocabulary());
  std::optional<std::filesystem::path> data;
  if (!options.calibration_data.empty()) data = options.calibration_data;
  const std::uint64_t context_length = source.spec().context_length;
  SearchSamples samples;
  samples.fitting = make_samples(
      {data, embedded_calibration_text(), "llm-quantize-calibration",
       context_length == 0 ? kCtx : std::min(kCtx, context_length), kManySamples, context_length},
      *tokenizer, context.log);
  std::vector<std::vector<TokenId>>& all = samples.fitting.samples;
  samples.held_out = samples.fitting;
  if (all.size() < 2) return samples;  // all there is
  const std::uint64_t count = std::clamp<std::uint64_t>(all.size() / 4, 1, kHeldOut);
  const auto border = all.end() - static_cast<std::ptrdiff_t>(count);
  samples.held_out.samples.assign(border, all.end());
  all.erase(border, all.end());
  return samples;
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
      context_.comm.together("read the calibration text",
                             [&] { samples_ = search_samples(context_, source_, options_); });
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
                             [&] { missing = without_input_ranges(imatrix_.imatrix, source_, mappings_); });
      if (!missing.empty()) {
        context_.log.warn(fmt::format("{} has no largest inputs of {} weights ({}): measuring all of them",
                                      options_.imatrix->string(), missing.size(), join_some(missing)));
      }
    }
    if (!options_.imatrix || !missing.empty()) {
      std::uint64_t samples = options_.calibration_samples.value_or(kDefaultCalibrationSamples);
      if (samples_) samples = std::min<std::uint64_t>(samples, samples_->fitting.samples.size());
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
      SmoothChoice choice{true, alpha, false, smooth_scales(ranges_[m], alpha), std::nullopt};
      const bool helps = mappings_[m].kind == FoldKind::norm ||
                         error_bound(facts(m), choice.scales, fixed_) < error_bound(facts(m), {}, fixed_);
      if (!helps || !may_fold(source_, mappings_[m], kept_)) choice = {false, alpha, false, {}, std::nullopt};
      choices_.push_back(std::move(choice));
    }
  }

  void choose_by_trial() {
    context_.log.status(fmt::format("Trying exponents on {} samples", samples_->held_out.samples.size()));
    const std::vector<SmoothTrials> trials =
        try_alphas(context_, source_, mappings_, ranges_, samples_->held_out);
    for (std::size_t m = 0; m < mappings_.size(); ++m) {
      const auto best = std::min_element(trials[m].folded.begin(), trials[m].folded.end());
      const bool folded = *best < trials[m].unfolded && may_fold(source_, mappings_[m], kept_);
      SmoothChoice choice{folded, kTriedAlphas[best - trials[m].folded.begin()], false, {}, std::nullopt};
      if (folded) choice.scales = smooth_scales(ranges_[m], choice.alpha);
      choice.measured_error = std::sqrt((folded ? *best : trials[m].unfolded) / trials[m].product);
      choices_.push_back(std::move(choice));
    }
  }

  void report() {
    context_.comm.together("judge the scales", [&] {
      for (std::size_t m = 0; m < mappings_.size(); ++m)
        result_.mappings.push_back(describe_mapping(facts(m), ranges_[m], choices_[m], fixed_));
      require_representable(mappings_, result_.mappings, ranges_);
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
