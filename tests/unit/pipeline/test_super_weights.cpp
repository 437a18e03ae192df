// Super weights that were planted come back, a model without gets that answer; coverage against a full sort.
#include <algorithm>

#include <gtest/gtest.h>

#include "llmq/model/patched_source.hpp"
#include "llmq/model/tokenizer.hpp"

#include "pipeline/super_weights.hpp"
#include "pipeline/weight_coverage.hpp"
#include "support/quiet_stage.hpp"

namespace {
using namespace llmq;
using testing_support::pebble;
using Stage = testing_support::QuietStage;

SampleSet some_samples(const ModelSource& source) {
  SampleSet samples;
  samples.ctx = 64;
  for (std::size_t i = 0; i < 6; ++i) {
    std::vector<TokenId> ids;
    for (std::size_t t = 0; t < samples.ctx; ++t)
      ids.push_back(static_cast<TokenId>((t * t * 31 + t * (17 + i) + 5) % source.spec().vocab_size));
    samples.samples.push_back(std::move(ids));
  }
  return samples;
}

/// One large weight of ffn_down, and a row of ffn_up that gives its channel a large input.
void plant(const ModelSource& source, std::vector<WeightPatch>& patches, std::uint32_t layer,
           std::uint64_t row, std::uint64_t column, float value, float gain) {
  const std::string block = "blk." + std::to_string(layer);
  patches.push_back({block + ".ffn_down.weight", row, column, value});
  const ModelTensor& up = *source.find(block + ".ffn_up.weight");
  std::vector<float> values(up.row_elems());
  source.read_rows(up, column, 1, RowOrder::hugging_face, values);
  for (std::uint64_t j = 0; j < values.size(); ++j) patches.push_back({up.name, column, j, gain * values[j]});
}

TEST(SuperWeights, a_model_without_any_gets_that_answer) {
  const Stage stage;
  const auto source = pebble();
  const SampleSet samples = some_samples(*source);
  EXPECT_TRUE(
      prove(stage.context, *source, samples, find_candidates(stage.context, *source, samples)).empty());
}

TEST(SuperWeights, planted_ones_come_back_exactly_and_proved) {
  const Stage stage;
  const auto source = pebble();
  std::vector<WeightPatch> patches;
  plant(*source, patches, 1, 77, 300, 20.0F, 60.0F);
  plant(*source, patches, 2, 12, 555, -15.0F, 80.0F);
  const PatchedSource planted(*source, patches);
  const SampleSet samples = some_samples(planted);

  const auto found = prove(stage.context, planted, samples, find_candidates(stage.context, planted, samples));

  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].tensor, "blk.1.ffn_down.weight");
  EXPECT_EQ(found[0].row, 77u);
  EXPECT_EQ(found[0].column, 300u);
  EXPECT_EQ(found[0].value, 20.0);
  EXPECT_EQ(found[1].tensor, "blk.2.ffn_down.weight");
  EXPECT_EQ(found[1].row, 12u);
  EXPECT_EQ(found[1].column, 555u);
  for (const SuperWeight& weight : found) {
    EXPECT_GE(weight.kl_divergence, kProvedDivergence);
    EXPECT_GT(weight.max_output, 100);
  }
}

TEST(SuperWeights, a_spike_needs_input_output_and_one_weight_that_makes_it) {
  std::vector<DownSpike> layers(5, DownSpike{1, 1, 0, 0, 1, 1});
  EXPECT_EQ(find_spike(layers), 5u);
  layers[3] = {10, 10, 4, 2, 1, 0.9};
  EXPECT_EQ(find_spike(layers), 3u);
  layers[1] = {10, 10, 4, 2, 1, 0.2};  // made by many weights
  EXPECT_EQ(find_spike(layers), 3u);
  layers[3].max_input = 2;
  EXPECT_EQ(find_spike(layers), 5u);
  EXPECT_EQ(find_spike({}), 0u);
}

TEST(WeightCoverage, equals_a_full_sort) {
  const Stage stage;
  const auto source = pebble();
  Imatrix imatrix;
  struct Score {
    float score;
    std::string tensor;
    std::uint64_t index;
  };
  std::vector<Score> all;
  for (const char* name : {"blk.0.attn_k.weight", "blk.2.ffn_down.weight"}) {
    const ModelTensor& tensor = *source->find(name);
    ImatrixEntry& entry = imatrix.entries[name];
    entry.in_features = tensor.ne[0];
    entry.counts = {3};
    for (std::uint64_t j = 0; j < tensor.ne[0]; ++j) entry.sum_sq.push_back(static_cast<double>(j % 7));
    const std::vector<float> importance = entry.importance();
    std::vector<float> weights(tensor.elements());
    source->read_rows(tensor, 0, tensor.rows(), RowOrder::gguf, weights);
    for (std::uint64_t i = 0; i < weights.size(); ++i)
      all.push_back({weights[i] * weights[i] * importance[i % tensor.ne[0]], name, i});
  }
  std::stable_sort(all.begin(), all.end(), [](const Score& a, const Score& b) { return a.score > b.score; });
  for (const double coverage : {0.0001, 0.003, 1.0}) {
    const auto count = static_cast<std::size_t>(std::llround(coverage * static_cast<double>(all.size())));
    std::map<std::string, std::vector<std::uint64_t>> wanted;
    for (std::size_t i = 0; i < count; ++i) wanted[all[i].tensor].push_back(all[i].index);
    for (auto& [name, indices] : wanted) std::sort(indices.begin(), indices.end());
    EXPECT_EQ(find_covered(stage.context, *source, imatrix, coverage), wanted) << coverage;
  }
  EXPECT_TRUE(find_covered(stage.context, *source, Imatrix{}, 0.01).empty());
}

}  // namespace
