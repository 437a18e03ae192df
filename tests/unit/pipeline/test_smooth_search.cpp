// W8A8 with and without smoothing on a model with outlier channels: what is gained, and that nothing depends
// on threads.
#include <gtest/gtest.h>

#include "llmq/embedded/texts.hpp"
#include "llmq/smoothquant/int8_source.hpp"
#include "llmq/smoothquant/smoothed_source.hpp"

#include "pipeline/quality_evaluate.hpp"
#include "pipeline/smooth_ranges.hpp"
#include "pipeline/smooth_search.hpp"
#include "support/quiet_stage.hpp"

namespace {
using namespace llmq;
using namespace llmq::testing_support;

SampleSet samples_of(const ModelSource& model, std::string_view text, std::uint64_t count, Log& log) {
  return make_samples({std::nullopt, text, "text", 128, count, 256}, *make_tokenizer(model.vocabulary()),
                      log);
}

/// Pebble as another set of weights of the same function: inputs of its products a hundred times as large in
/// some channels.
Scalings outliers(const ModelSpec& spec) {
  Scalings scalings;
  for (const SmoothMapping& mapping : smooth_mappings(spec)) {
    std::vector<float> scales(mapping.channels, 1.0F);
    for (std::size_t j = 5 + mapping.layer; j < scales.size(); j += 61) scales[j] = 0.01F;
    fold(mapping, spec, scales, scalings);
  }
  return scalings;
}

class Smoothing : public testing::Test {
 protected:
  Smoothing()
      : original_(pebble()),
        planted_(*original_, outliers(original_->spec())),
        mappings_(smooth_mappings(planted_.spec())),
        calibration_(samples_of(planted_, embedded_calibration_text(), 6, stage_.log)),
        evaluation_(samples_of(planted_, embedded_evaluation_text(), 6, stage_.log)),
        ranges_(ranges_of(planted_)) {}

  std::vector<ChannelRanges> ranges_of(const ModelSource& model) {
    std::vector<LayerStatistics> statistics;
    const std::vector<Candidate> itself = {{&model, ModelDifference{}}};
    evaluate_candidates(stage_.context, calibration_, model, itself, {[](double) {}, {}, &statistics});
    Imatrix imatrix;
    for (std::uint32_t layer = 0; layer < model.spec().n_layers; ++layer)
      statistics[layer].write(layer, model, imatrix);
    EXPECT_TRUE(without_input_ranges(imatrix, model, mappings_).empty());
    return channel_ranges(model.spec(), imatrix, measure_columns(stage_.context, model, mappings_),
                          mappings_);
  }

  /// Divergence of the W8A8 model with these exponents; none: without folding.
  double divergence(const std::vector<std::optional<double>>& alphas) {
    Scalings scalings;
    for (std::size_t m = 0; m < mappings_.size(); ++m) {
      if (alphas[m]) fold(mappings_[m], planted_.spec(), smooth_scales(ranges_[m], *alphas[m]), scalings);
    }
    const SmoothedSource smooth(planted_, scalings);
    const Int8Source coded(smooth);
    const std::vector<Candidate> candidate = {{&coded, std::nullopt, "W8A8"}};
    return evaluate_candidates(stage_.context, evaluation_, planted_, candidate, {[](double) {}, {}, nullptr})
        .candidates[0]
        .summary.metrics()
        .kld.mean;
  }

  QuietStage stage_;
  std::unique_ptr<ModelSource> original_;
  SmoothedSource planted_;
  std::vector<SmoothMapping> mappings_;
  SampleSet calibration_, evaluation_;
  std::vector<ChannelRanges> ranges_;
};

TEST_F(Smoothing, ranges_are_those_of_inputs_and_weights) {
  const SmoothMapping& first = mappings_[0];
  const ModelTensor& q = *planted_.find("blk.0.attn_q.weight");
  std::vector<float> weights(q.elements());
  planted_.read_rows(q, 0, q.rows(), RowOrder::hugging_face, weights);
  float largest = 0;
  for (std::size_t row = 0; row < q.rows(); ++row)
    largest = std::max(largest, std::fabs(weights[row * q.row_elems() + 5]));
  EXPECT_GE(ranges_[0].weight[5], largest);
  EXPECT_LT(ranges_[0].weight[5], ranges_[0].weight[4] / 10) << "weights of an outlier channel are small";
  EXPECT_GT(ranges_[0].input[5], ranges_[0].input[4] * 10);
  EXPECT_EQ(ranges_[1].input.size(), std::uint64_t{planted_.spec().n_kv_heads} * planted_.spec().head_dim);
  EXPECT_EQ(first.channels, ranges_[0].input.size());
}

TEST_F(Smoothing, smoothing_gains_tenfold) {
  const std::vector<SmoothTrials> trials =
      try_alphas(stage_.context, planted_, mappings_, ranges_, calibration_);
  std::vector<std::optional<double>> chosen;
  for (const SmoothTrials& trial : trials) {
    const auto best = std::min_element(trial.folded.begin(), trial.folded.end());
    EXPECT_LE(*best, trial.folded[0]) << "worse than 0.5 in its own measure";
    EXPECT_GT(trial.product, 100 * *best);
    if (*best < trial.unfolded)
      chosen.push_back(kTriedAlphas[best - trial.folded.begin()]);
    else
      chosen.push_back(std::nullopt);
  }
  const double naive = divergence(std::vector<std::optional<double>>(mappings_.size()));
  const double half = divergence(std::vector<std::optional<double>>(mappings_.size(), 0.5));
  const double found = divergence(chosen);
  EXPECT_GT(naive, 10 * half);
  EXPECT_LT(found, 1.1 * half);
}

TEST_F(Smoothing, threads_change_no_bit) {
  const StageContext one{stage_.comm, stage_.log, 1, std::uint64_t{4} << 30};
  SampleSet few = calibration_;
  few.samples.resize(2);
  const auto a = try_alphas(stage_.context, planted_, mappings_, ranges_, few);
  const auto b = try_alphas(one, planted_, mappings_, ranges_, few);
  for (std::size_t m = 0; m < a.size(); ++m) {
    EXPECT_EQ(a[m].unfolded, b[m].unfolded);
    EXPECT_EQ(a[m].folded, b[m].folded);
    EXPECT_EQ(a[m].product, b[m].product);
  }
}

}  // namespace
