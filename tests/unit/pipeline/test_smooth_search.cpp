// W8A8 with scales chosen by the program against those of exponents, on models with and without outlier
// channels: what is gained, and that nothing depends on threads.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "llmq/core/error.hpp"
#include "llmq/embedded/texts.hpp"
#include "llmq/smoothquant/int8_source.hpp"
#include "llmq/smoothquant/smoothed_source.hpp"

#include "pipeline/quality_evaluate.hpp"
#include "pipeline/smooth_fit.hpp"
#include "pipeline/smooth_inputs.hpp"
#include "pipeline/smooth_ranges.hpp"
#include "pipeline/smooth_search.hpp"
#include "pipeline/smooth_trial.hpp"
#include "support/outlier_models.hpp"
#include "support/quiet_stage.hpp"

namespace {
using namespace llmq;
using namespace llmq::testing_support;

constexpr std::size_t kFitting = 128, kFew = 16, kHeldOut = 16, kEvaluation = 84;  // samples

SampleSet samples_of(const ModelSource& model, std::string_view text, std::uint64_t count, Log& log) {
  return make_samples({std::nullopt, text, "text", 128, count, 256}, *make_tokenizer(model.vocabulary()),
                      log);
}

SampleSet part_of(SampleSet set, std::size_t begin, std::size_t count) {
  const auto first = set.samples.begin() + static_cast<std::ptrdiff_t>(begin);
  set.samples = {first, first + static_cast<std::ptrdiff_t>(count)};
  return set;
}

enum class Planted { nothing, outliers, spikes };

/// By mapping, of the first samples of the calibration text.
std::vector<ChannelRanges> ranges_of(const QuietStage& stage, const ModelSource& model, std::size_t count) {
  std::vector<LayerStatistics> statistics;
  const std::vector<Candidate> itself = {{&model, ModelDifference{}}};
  const std::vector<SmoothMapping> mappings = smooth_mappings(model.spec());
  evaluate_candidates(stage.context, samples_of(model, embedded_calibration_text(), count, stage.context.log),
                      model, itself, {[](double) {}, {}, &statistics});
  Imatrix imatrix;
  for (std::uint32_t layer = 0; layer < model.spec().n_layers; ++layer)
    statistics[layer].write(layer, model, imatrix);
  EXPECT_TRUE(without_input_ranges(imatrix, model).empty());
  return channel_ranges(model.spec(), imatrix, measure_columns(stage.context, model, mappings), mappings);
}

std::unique_ptr<ModelSource> plant(const QuietStage& stage, const ModelSource& model, Planted what) {
  switch (what) {
    case Planted::nothing:
      return std::make_unique<SmoothedSource>(model, Scalings{});
    case Planted::outliers:
      return std::make_unique<SmoothedSource>(model, outliers(model.spec()));
    case Planted::spikes:
      return std::make_unique<SpikedSource>(model, ranges_of(stage, model, kFew));
  }
  throw InternalError("nothing of the kind can be planted");
}

/// A model and what was measured of it.
struct Trial {
  Trial(const std::string& model, Planted what, std::size_t samples)
      : original(open_model(std::string(LLMQ_TEST_DATA) + "/" + model)),
        planted_model(plant(stage, *original, what)),
        planted(*planted_model),
        mappings(smooth_mappings(planted.spec())),
        ranges(ranges_of(stage, planted, samples)) {
    const SampleSet all = samples_of(planted, embedded_calibration_text(), samples + kHeldOut, stage.log);
    fitting = part_of(all, 0, samples);
    held_out = part_of(all, samples, kHeldOut);
  }

  /// The same exponent for all mappings.
  std::vector<std::vector<float>> at(double alpha) const {
    std::vector<std::vector<float>> scales;
    for (const ChannelRanges& one : ranges) scales.push_back(smooth_scales(one, alpha));
    return scales;
  }

  /// Divergences of the W8A8 models with these scales, in real int8, on the evaluation text.
  std::vector<double> divergences(const std::vector<std::vector<std::vector<float>>>& choices) {
    std::vector<std::unique_ptr<ModelSource>> models;
    std::vector<Candidate> candidates;
    for (const auto& scales : choices) {
      Scalings scalings;
      for (std::size_t m = 0; m < scales.size(); ++m) fold(mappings[m], planted.spec(), scales[m], scalings);
      models.push_back(std::make_unique<SmoothedSource>(planted, scalings));
      models.push_back(std::make_unique<Int8Source>(*models.back()));
      candidates.push_back({models.back().get(), std::nullopt, "W8A8"});
    }
    const SampleSet evaluation = samples_of(planted, embedded_evaluation_text(), kEvaluation, stage.log);
    const EvaluationScores scores =
        evaluate_candidates(stage.context, evaluation, planted, candidates, {[](double) {}, {}, nullptr});
    std::vector<double> found;
    for (const CandidateScores& one : scores.candidates) {
      EXPECT_GT(one.summary.scores(), 5000u);
      found.push_back(one.summary.metrics().kld.mean);
    }
    return found;
  }

  QuietStage stage;
  std::unique_ptr<ModelSource> original, planted_model;
  const ModelSource& planted;
  std::vector<SmoothMapping> mappings;
  std::vector<ChannelRanges> ranges;
  SampleSet fitting, held_out;
};

TEST(Smoothing, ranges_are_those_of_inputs_and_weights) {
  const Trial trial("pebble", Planted::outliers, kFew);
  const ModelSource& model = trial.planted;
  const ModelTensor& q = *model.find("blk.0.attn_q.weight");
  std::vector<float> weights(q.elements());
  model.read_rows(q, 0, q.rows(), RowOrder::hugging_face, weights);
  float largest = 0;
  for (std::size_t row = 0; row < q.rows(); ++row)
    largest = std::max(largest, std::fabs(weights[row * q.row_elems() + 5]));
  EXPECT_GE(trial.ranges[0].weight[5], largest);
  EXPECT_LT(trial.ranges[0].weight[5], trial.ranges[0].weight[4] / 10) << "an outlier's weights are small";
  EXPECT_GT(trial.ranges[0].input[5], trial.ranges[0].input[4] * 10);
  EXPECT_EQ(trial.ranges[1].input.size(), std::uint64_t{model.spec().n_kv_heads} * model.spec().head_dim);
  EXPECT_EQ(trial.mappings[0].channels, trial.ranges[0].input.size());
}

TEST(Smoothing, the_noise_model_foretells_errors_and_the_fit_is_its_best) {
  const Trial trial("pebble", Planted::outliers, kFew);
  const auto pass = make_forward_pass(trial.planted.spec());
  SampleWalk walk(trial.stage.context, trial.planted, *pass, trial.fitting, kFitTokens);
  const TakenInputs inputs = walk.advance(*pass->load_layer(0, make_weight_loader(trial.planted)));
  for (std::size_t m = 0; m < 4; ++m) {
    const SmoothMapping& mapping = trial.mappings[m];
    const auto& input = inputs[static_cast<std::size_t>(mapping.input)];
    const std::vector<float> half = trial.at(0.5)[m], ones(half.size(), 1.0F);
    const NoiseModel model(trial.stage.context, trial.planted, mapping, input, trial.ranges[m], half);
    const std::vector<float> fitted = model.minimize(half);
    const TrialErrors real = try_scales(trial.stage.context, trial.planted, *pass, mapping, input, half,
                                        {half, trial.at(0.2)[m], trial.at(0.9)[m], fitted});
    const std::array<double, 4> model_errors = {model.error(half), model.error(trial.at(0.2)[m]),
                                                model.error(trial.at(0.9)[m]), model.error(fitted)};
    for (std::size_t i = 1; i < model_errors.size(); ++i) {
      const double ratio = model_errors[i] / model_errors[0], found = real.choices[i] / real.choices[0];
      EXPECT_NEAR(ratio / found, 1, 0.25) << mapping.name() << ", choice " << i;
    }
    for (const double alpha : kTriedAlphas) EXPECT_LT(model_errors[3], model.error(trial.at(alpha)[m]));
    // All scales twice as large are the same codes.
    std::vector<float> twice = half;
    for (float& scale : twice) scale *= 2;
    EXPECT_NEAR(model.error(twice) / model_errors[0], 1, 1e-9);
    // Away from the fit in any direction is up; the bound is what the descent leaves.
    for (const std::size_t j : {5u, 6u, 100u}) {
      for (const float by : {0.8F, 1.25F}) {
        std::vector<float> other = fitted;
        other[j] *= by;
        EXPECT_GT(model.error(other), 0.9999 * model_errors[3]);
      }
    }
  }
}

struct Case {
  const char* name;
  const char* model;
  Planted planted;
  double harm;     ///< least divergence without folding, of that at an exponent of 0.5
  double at_most;  ///< divergence with chosen scales, of the same
};

class ChosenScales : public testing::TestWithParam<Case> {};

TEST_P(ChosenScales, diverge_less_than_those_of_one_half) {
  const char* slow = std::getenv("LLMQ_SLOW");
  if (slow != nullptr && std::string_view(slow) == "1" && GetParam().planted != Planted::spikes)
    GTEST_SKIP() << "one model will do under sanitizers";
  if (std::getenv("LLMQ_ALL") == nullptr && std::string_view(GetParam().model) == "pebble" &&
      GetParam().planted != Planted::spikes)
    GTEST_SKIP() << "the smaller model stands for this one unless all is tried (LLMQ_ALL)";
  Trial trial(GetParam().model, GetParam().planted, kFitting);
  std::vector<std::vector<float>> chosen, ones;
  const auto choices = choose_scales(trial.stage.context, trial.planted, trial.mappings, trial.ranges,
                                     trial.fitting, trial.held_out);
  for (const SmoothChoice& choice : choices) {
    EXPECT_GT(choice.error, 0);
    EXPECT_LE(choice.error, choice.error_at_half) << "worse than 0.5 in its own measure";
    EXPECT_LT(choice.error, 0.1);
    chosen.push_back(choice.scales);
    ones.emplace_back(choice.scales.size(), 1.0F);
  }
  const std::vector<double> divergences = trial.divergences({chosen, trial.at(0.5), ones});
  EXPECT_LE(divergences[0], GetParam().at_most * divergences[1]);
  EXPECT_GT(divergences[2], GetParam().harm * divergences[1]);
}

INSTANTIATE_TEST_SUITE_P(Models, ChosenScales,
                         testing::Values(Case{"pebble", "pebble", Planted::nothing, 0.9, 0.95},
                                         Case{"pebble_outliers", "pebble", Planted::outliers, 100, 0.8},
                                         Case{"pebble_spikes", "pebble", Planted::spikes, 1.5, 0.8},
                                         Case{"stories", "stories260k-wide256", Planted::nothing, 0.9, 0.9},
                                         Case{"stories_outliers", "stories260k-wide256", Planted::outliers,
                                              100, 0.75}),
                         [](const auto& tested) { return tested.param.name; });

TEST(Smoothing, threads_change_no_bit) {
  const Trial trial("pebble", Planted::outliers, kFew);
  const SampleSet fitting = part_of(trial.fitting, 0, 5), held_out = part_of(trial.held_out, 0, 2);
  const auto choose = [&](std::size_t threads) {
    const StageContext context{trial.stage.comm, trial.stage.context.log, threads, std::uint64_t{4} << 30};
    return choose_scales(context, trial.planted, trial.mappings, trial.ranges, fitting, held_out);
  };
  const auto a = choose(1), b = choose(3);
  for (std::size_t m = 0; m < a.size(); ++m) {
    EXPECT_EQ(a[m].scales, b[m].scales);
    EXPECT_EQ(a[m].alpha, b[m].alpha);
    EXPECT_EQ(a[m].error, b[m].error);
    EXPECT_EQ(a[m].error_at_half, b[m].error_at_half);
    EXPECT_EQ(a[m].error_unfolded, b[m].error_unfolded);
  }
}

// The table of bench/RESULTS.md: --gtest_also_run_disabled_tests --gtest_filter=Smoothing.DISABLED_table
TEST(Smoothing, DISABLED_table) {
  struct Row {
    const char* model;
    Planted planted;
  };
  for (const Row& row :
       {Row{"pebble", Planted::nothing}, Row{"pebble", Planted::outliers}, Row{"pebble", Planted::spikes},
        Row{"stories260k-wide256", Planted::nothing}, Row{"stories260k-wide256", Planted::outliers}}) {
    Trial trial(row.model, row.planted, kFitting);
    std::vector<std::vector<std::vector<float>>> choices(1);  // naive: nothing is folded
    for (int tenths = 0; tenths <= 10; ++tenths) choices.push_back(trial.at(tenths / 10.0));
    choices.emplace_back();
    for (const SmoothChoice& one : choose_scales(trial.stage.context, trial.planted, trial.mappings,
                                                 trial.ranges, trial.fitting, trial.held_out))
      choices.back().push_back(one.scales);
    fmt::print("{} {}:", row.model, static_cast<int>(row.planted));
    for (const double kld : trial.divergences(choices)) fmt::print(" {:.3g}", 1e4 * kld);
    fmt::print("\n");
  }
}

}  // namespace
