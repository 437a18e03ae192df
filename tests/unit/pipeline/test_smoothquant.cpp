// The smoothquant stage: what it writes is the model it was made of, whatever the files; its bounds hold; and
// what cannot be represented is named.
#include <cmath>
#include <filesystem>
#include <limits>

#include <gtest/gtest.h>

#include "llmq/core/error.hpp"
#include "llmq/core/half.hpp"
#include "llmq/embedded/texts.hpp"
#include "llmq/formats/compressed_tensors.hpp"
#include "llmq/pipeline/quantize.hpp"
#include "llmq/smoothquant/int8_source.hpp"

#include "pipeline/layer_statistics.hpp"
#include "pipeline/quality_evaluate.hpp"
#include "pipeline/smooth_folding.hpp"
#include "pipeline/smooth_ranges.hpp"
#include "pipeline/w8a8_plan.hpp"
#include "support/logits.hpp"
#include "support/outlier_models.hpp"
#include "support/quiet_stage.hpp"
#include "support/scratch.hpp"

namespace {
using namespace llmq;
using namespace llmq::testing_support;
namespace fs = std::filesystem;

class SmoothQuant : public testing::Test {
 protected:
  SmoothQuant() : source_(pebble()), mappings_(coded_mappings(*source_, {})) {
    samples_ = make_samples({std::nullopt, embedded_calibration_text(), "text", 128, 4, 256},
                            *make_tokenizer(source_->vocabulary()), stage_.log);
    std::vector<LayerStatistics> statistics;
    const std::vector<Candidate> itself = {{source_.get(), ModelDifference{}}};
    evaluate_candidates(stage_.context, samples_, *source_, itself, {[](double) {}, {}, &statistics});
    for (std::uint32_t layer = 0; layer < source_->spec().n_layers; ++layer)
      statistics[layer].write(layer, *source_, imatrix_);
  }

  QuantizeOptions options(const std::string& name) {
    QuantizeOptions options;
    options.model = std::string(LLMQ_TEST_DATA) + "/pebble";
    options.output_dir = scratch_.path();
    options.output_name = name;
    options.imatrix = scratch_ / "pebble.imatrix";
    options.checkpoints.enabled = false;
    options.smoothquant.emplace();
    write_imatrix(imatrix_, *options.imatrix, ImatrixFileFormat::hdf5);
    return options;
  }

  /// The error of a run that must fail with code 14.
  std::string complaint() {
    try {
      run_smoothquant(stage_.context, options("never"));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::smoothquant) << error.what();
      EXPECT_NE(error.suggestion().find("--tensor-type 'blk"), std::string::npos) << error.suggestion();
      EXPECT_FALSE(fs::exists(scratch_ / "never"));
      EXPECT_FALSE(fs::exists(scratch_ / "never.partial"));
      return error.what();
    }
    return "nothing to complain of";
  }

  QuietStage stage_;
  ScratchDirectory scratch_;
  std::unique_ptr<ModelSource> source_;
  std::vector<SmoothMapping> mappings_;
  SampleSet samples_;
  Imatrix imatrix_;
};

/// What a directory holds of a tensor.
std::vector<float> values_of(const ModelSource& model, const ModelTensor& tensor) {
  std::vector<float> values(tensor.elements());
  model.read_rows(tensor, 0, tensor.rows(), RowOrder::hugging_face, values);
  return values;
}

TEST_F(SmoothQuant, one_file_or_many_hold_the_same_model) {
  QuantizeOptions one = options("one"), many = options("many");
  many.smoothquant->shard_bytes = std::uint64_t{1} << 20;
  EXPECT_EQ(run_smoothquant(stage_.context, one).smoothquant->shards, 1u);
  const QuantizeResult result = run_smoothquant(stage_.context, many);
  EXPECT_GT(result.smoothquant->shards, 4u);
  std::uint64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(scratch_ / "many")) bytes += entry.file_size();
  EXPECT_EQ(bytes, result.file_bytes);
  EXPECT_TRUE(check_w8a8_directory(scratch_ / "many").empty());
  const auto a = open_model(scratch_ / "one"), b = open_model(scratch_ / "many");
  for (const ModelTensor& tensor : a->tensors()) {
    ASSERT_EQ(values_of(*a, tensor), values_of(*b, *b->find(tensor.name))) << tensor.name;
    EXPECT_EQ(a->has_codes(tensor), is_linear_weight(tensor)) << tensor.name;
  }
}

TEST_F(SmoothQuant, the_directory_holds_the_smoothed_model) {
  const QuantizeResult result = run_smoothquant(stage_.context, options("w8a8"));
  const ColumnMap columns = measure_columns(stage_.context, *source_, mappings_);
  const std::vector<ChannelRanges> ranges = channel_ranges(source_->spec(), imatrix_, columns, mappings_);
  std::vector<SmoothChoice> choices;
  for (std::size_t m = 0; m < mappings_.size(); ++m) {
    SmoothChoice choice{result.smoothquant->mappings[m].folded, 0.5, false, {}};
    if (choice.folded)
      choice.scales = scales_as_stored(*source_, mappings_[m], smooth_scales(ranges[m], 0.5));
    choices.push_back(std::move(choice));
  }
  const SmoothedSource smoothed(*source_, fold_choices(source_->spec(), mappings_, choices));
  const Int8Source coded(smoothed);
  const auto written = open_model(scratch_ / "w8a8");
  for (const ModelTensor& tensor : source_->tensors()) {
    std::vector<float> wanted = values_of(coded, tensor),
                       got = values_of(*written, *written->find(tensor.name));
    for (std::size_t i = 0; i < wanted.size() && tensor.n_dims == 1; ++i) {
      // Scales were chosen so that folded norms are bfloat16 values, but for the last digit of f32.
      EXPECT_NEAR(got[i], wanted[i], 1e-6 * std::fabs(wanted[i])) << tensor.name;
      EXPECT_EQ(got[i], bf16_to_f32(f32_to_bf16(got[i])));
    }
    if (tensor.n_dims > 1) {
      ASSERT_EQ(wanted, got) << tensor.name;
    }
  }
}

TEST_F(SmoothQuant, smoothing_outliers_alone_changes_no_logits) {
  const SmoothedSource planted(*source_, outliers(source_->spec()));
  Imatrix imatrix;
  std::vector<LayerStatistics> statistics;
  const std::vector<Candidate> itself = {{&planted, ModelDifference{}}};
  evaluate_candidates(stage_.context, samples_, planted, itself, {[](double) {}, {}, &statistics});
  for (std::uint32_t layer = 0; layer < planted.spec().n_layers; ++layer)
    statistics[layer].write(layer, planted, imatrix);
  const ColumnMap columns = measure_columns(stage_.context, planted, mappings_);
  const std::vector<ChannelRanges> ranges = channel_ranges(planted.spec(), imatrix, columns, mappings_);
  Scalings scalings;
  for (std::size_t m = 0; m < mappings_.size(); ++m) {
    const std::vector<float> scales = smooth_scales(ranges[m], 0.5);
    EXPECT_GT(*std::max_element(scales.begin(), scales.end()), 10) << "no outlier in " << mappings_[m].name();
    fold(mappings_[m], planted.spec(), scales_as_stored(planted, mappings_[m], scales), scalings);
  }
  EXPECT_LT(relative_difference(logits_of(planted), logits_of(SmoothedSource(planted, scalings))), 1e-4);
}

/// Inputs of all products of the samples, by layer and input: [all tokens, in_features].
std::vector<std::array<std::vector<float>, kLayerInputs>> inputs_of(const ModelSource& model,
                                                                    const SampleSet& samples) {
  const auto pass = make_forward_pass(model.spec());
  std::vector<std::array<std::vector<float>, kLayerInputs>> inputs(model.spec().n_layers);
  for (const std::vector<TokenId>& sample : samples.samples) {
    std::vector<float> hidden;
    embed_tokens(model, sample, hidden);
    for (std::uint32_t layer = 0; layer < model.spec().n_layers; ++layer) {
      const auto observer = [&](const MatmulRows& rows) {
        std::vector<float>& all = inputs[layer].at(static_cast<std::size_t>(rows.input));
        all.insert(all.end(), rows.x.begin(), rows.x.end());
      };
      pass->run_layer(*pass->load_layer(layer, make_weight_loader(model)), hidden, observer);
    }
  }
  return inputs;
}

/// Root of the squared differences between int8 and f32 products over the squares of the latter.
double error_of(const ModelSource& model, const SmoothMapping& mapping, const std::vector<float>& x,
                const std::vector<float>& scales) {
  const auto pass = make_forward_pass(model.spec());
  double difference = 0, product = 0;
  for (const std::string& name : mapping.balance) {
    const ModelTensor& tensor = *model.find(name);
    const std::size_t width = tensor.row_elems();
    std::vector<float> weights = values_of(model, tensor), smooth_x = x;
    std::vector<float> plain(x.size() / width * tensor.rows()), coded(plain.size());
    pass->multiply_transposed(x, weights, width, plain);
    for (std::size_t c = 0; c < width && !scales.empty(); ++c) {
      const float scale = scales[channel_of_column(mapping, model.spec(), c)];
      for (std::size_t i = c; i < weights.size(); i += width) weights[i] *= scale;
      for (std::size_t i = c; i < smooth_x.size(); i += width) smooth_x[i] /= scale;
    }
    Int8Rows weight_rows, rows;
    quantize_rows_int8(weights, width, weight_rows);
    quantize_rows_int8(smooth_x, width, rows);
    int8_matmul(rows, Int8Weights(weight_rows.codes, weight_rows.scales, width), {}, coded);
    for (std::size_t i = 0; i < plain.size(); ++i) {
      const double wanted = static_cast<double>(plain[i]), got = static_cast<double>(coded[i]);
      difference += (got - wanted) * (got - wanted);
      product += wanted * wanted;
    }
  }
  return std::sqrt(difference / product);
}

TEST_F(SmoothQuant, no_error_is_above_its_bound) {
  const ColumnMap columns = measure_columns(stage_.context, *source_, mappings_);
  const std::vector<ChannelRanges> ranges = channel_ranges(source_->spec(), imatrix_, columns, mappings_);
  const auto inputs = inputs_of(*source_, samples_);
  for (std::size_t m = 0; m < mappings_.size(); ++m) {
    SCOPED_TRACE(mappings_[m].name());
    const MappingFacts facts{mappings_[m], *source_, imatrix_, columns};
    const std::vector<float>& x = inputs[mappings_[m].layer][static_cast<std::size_t>(mappings_[m].input)];
    const std::vector<float> half = smooth_scales(ranges[m], 0.5);
    const double error = error_of(*source_, mappings_[m], x, half), bound = error_bound(facts, half, false);
    EXPECT_LT(error, bound);
    EXPECT_LT(bound, 10 * error) << "says nothing";
    EXPECT_LT(error_of(*source_, mappings_[m], x, {}), error_bound(facts, {}, false));
    EXPECT_GE(error_bound(facts, {}, true), error_bound(facts, {}, false));
  }
}

TEST_F(SmoothQuant, what_cannot_be_represented_is_listed) {
  const Imatrix sound = imatrix_;
  for (const char* weight : {"blk.1.ffn_down.weight", "blk.3.attn_output.weight"})
    std::fill(imatrix_.entries.at(weight).max_abs.begin(), imatrix_.entries.at(weight).max_abs.end(), 0.0F);
  const std::string dead = complaint();
  EXPECT_NE(dead.find("2 mappings"), std::string::npos) << dead;
  EXPECT_NE(dead.find("blk.1.ffn_up -> ffn_down (its input was always 0)"), std::string::npos) << dead;
  imatrix_ = sound;
  // A hundred thousand times the other channels, in rare tokens only: no scale can help both sides.
  ImatrixEntry& wild = imatrix_.entries.at("blk.2.ffn_down.weight");
  for (std::size_t c = 0; c < wild.max_abs.size(); c += 2) {
    wild.max_abs[c] *= 1e9F;
    wild.sum_quad[c] *= 1e36;
  }
  EXPECT_NE(complaint().find("blk.2.ffn_up -> ffn_down (error "), std::string::npos);
  imatrix_ = sound;
  imatrix_.entries.at("blk.0.attn_q.weight").max_abs[5] = std::numeric_limits<float>::infinity();
  try {
    run_smoothquant(stage_.context, options("never"));
    FAIL() << "an infinite range was taken";
  } catch (const Error& error) {
    EXPECT_TRUE(error.code() == ExitCode::smoothquant || error.code() == ExitCode::imatrix) << error.what();
  }
}

TEST_F(SmoothQuant, channels_that_stay_wide_are_named_with_what_to_do) {
  std::vector<MappingReport> reports(mappings_.size());
  for (std::size_t m = 0; m < reports.size(); ++m) reports[m].name = mappings_[m].name();
  EXPECT_EQ(advice_on_wide_channels(mappings_, reports), "");
  reports[3].wide_channels = 7;
  reports[3].widest = {{41, 85.2}, {3, 12}};
  reports[6].wide_channels = 1;
  reports[6].widest = {{5, 11}};
  const std::string advice = advice_on_wide_channels(mappings_, reports);
  EXPECT_NE(advice.find("8 channels of 2 inputs"), std::string::npos) << advice;
  EXPECT_NE(advice.find("blk.0.ffn_up -> ffn_down, channel 41, 85 times"), std::string::npos) << advice;
  EXPECT_NE(advice.find("--tensor-type 'blk\\.0\\.ffn_down=BF16'"), std::string::npos) << advice;
}

TEST_F(SmoothQuant, weights_of_one_input_are_kept_together) {
  TypeRules rules;
  rules.by_name = {make_type_rule("blk\\.1\\.ffn_up", "BF16"), make_type_rule("nothing", "F32")};
  std::vector<std::string> added, unused;
  const KeptWeights kept = kept_weights(*source_, rules, added, unused);
  EXPECT_EQ(kept.size(), 2u);
  EXPECT_EQ(kept.at("blk.1.ffn_gate.weight"), DType::BF16);
  EXPECT_EQ(added, std::vector<std::string>{"blk.1.ffn_gate.weight"});
  EXPECT_EQ(unused, std::vector<std::string>{"nothing"});
  const std::set<std::string> names = {"blk.1.ffn_up.weight", "blk.1.ffn_gate.weight"};
  const auto mappings = coded_mappings(*source_, names);
  EXPECT_EQ(mappings.size(), mappings_.size() - 1);
  for (const SmoothMapping& mapping : mappings)
    EXPECT_EQ(may_fold(*source_, mapping, names), mapping.name() != "blk.1.ffn_up -> ffn_down")
        << mapping.name();
  rules.by_name = {make_type_rule("ffn_up", "Q4_K")};
  EXPECT_THROW(kept_weights(*source_, rules, added, unused), Error);
}

}  // namespace
