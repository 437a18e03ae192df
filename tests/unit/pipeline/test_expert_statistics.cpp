// Statistics of a layer of experts: kept by matrix, through checkpoints, and what experts without tokens get.
#include <algorithm>

#include <gtest/gtest.h>

#include "llmq/core/error.hpp"
#include "llmq/model/source.hpp"

#include "pipeline/layer_statistics.hpp"
#include "pipeline/tensor_importance.hpp"
#include "scale/shape.hpp"

namespace {
using namespace llmq;

constexpr std::size_t kHidden = 8, kFfn = 4;

ModelSpec spec_of_experts() {
  ModelSpec spec;
  spec.architecture = "llama";
  spec.hidden_size = kHidden;
  spec.n_layers = 1;
  spec.n_heads = spec.n_kv_heads = 2;
  spec.head_dim = 4;
  spec.intermediate_size = 16;
  spec.n_experts = 3;
  spec.n_experts_used = 1;
  spec.expert_ffn = kFfn;
  spec.shared_ffn = 6;
  return spec;
}

/// One sample: experts 0 and 2 are given tokens, expert 1 none; all gradients are `slope` times the expert
/// plus one.
void add_sample(LayerStatistics& statistics, float slope) {
  const std::vector<float> inputs(2 * kHidden, slope), activated(2 * kFfn, slope);
  for (const std::uint32_t expert : {0u, 2u}) {
    statistics.input({MatmulInput::experts, expert, inputs, kHidden}).add_sample(inputs);
    statistics.input({MatmulInput::experts_down, expert, activated, kFfn}).add_sample(activated);
    for (const char* name : {"ffn_gate_exps.weight", "ffn_up_exps.weight", "ffn_down_exps.weight"}) {
      const bool down = std::string_view(name) == "ffn_down_exps.weight";
      const std::vector<float> weights(kHidden * kFfn, 1.0F),
          gradient(kHidden * kFfn, slope * static_cast<float>(expert + 1));
      SensitivitySample sample;
      sample.add_rows(ImportanceMethod::gradient, 0, down ? kHidden : kFfn, down ? kFfn : kHidden, weights,
                      gradient);
      statistics.sensitivity(statistics.sensitivity_slot(name, expert)).add_sample(sample);
    }
  }
  for (std::size_t slot = 0; slot < statistics.sensitivities(); ++slot) {
    if (statistics.sensitivity(slot).samples == 0) statistics.sensitivity(slot).add_sample_without();
  }
}

TEST(ExpertStatistics, each_matrix_has_its_own_and_shapes_are_those_of_the_weights) {
  LayerStatistics statistics(spec_of_experts(), ImportanceMethod::gradient);
  EXPECT_EQ(statistics.sensitivities(), 4u + 3 * 3 + 3);
  const SensitivityAccumulator& down =
      statistics.sensitivity(statistics.sensitivity_slot("ffn_down_exps.weight", 2));
  EXPECT_EQ(down.columns.size(), kFfn);
  EXPECT_EQ(down.rows.size(), kHidden);
  const SensitivityAccumulator& shared =
      statistics.sensitivity(statistics.sensitivity_slot("ffn_up_shexp.weight", 0));
  EXPECT_EQ(shared.columns.size(), kHidden);
  EXPECT_EQ(shared.rows.size(), 6u);
  EXPECT_THROW(statistics.sensitivity_slot("ffn_up_exps.weight", 3), InternalError);
  EXPECT_THROW(statistics.sensitivity_slot("attn_q.weight", 1), InternalError);
}

TEST(ExpertStatistics, a_checkpoint_gives_back_what_it_took) {
  const ModelSpec spec = spec_of_experts();
  LayerStatistics before(spec, ImportanceMethod::gradient), after(spec, ImportanceMethod::gradient);
  add_sample(before, 2.0F);
  AnalyzeCheckpoint checkpoint;
  before.save(0, checkpoint);
  EXPECT_EQ(after.load(0, checkpoint), checkpoint.stats.size() + checkpoint.sensitivities.size());
  EXPECT_EQ(after.load(1, checkpoint), 0u);  // of another layer
  Imatrix one, other;
  before.write(0, *scale::source_of({spec}), one);
  after.write(0, *scale::source_of({spec}), other);
  EXPECT_EQ(one.content_hash(), other.content_hash());
}

TEST(ExpertStatistics, an_expert_without_tokens_gets_the_mean_of_the_others) {
  const ModelSpec spec = spec_of_experts();
  LayerStatistics statistics(spec, ImportanceMethod::gradient);
  add_sample(statistics, 2.0F);
  Imatrix imatrix;
  statistics.write(0, *scale::source_of({spec}), imatrix);
  const ImatrixEntry& entry = imatrix.entries.at("blk.0.ffn_up_exps.weight");
  EXPECT_EQ(entry.counts, (std::vector<std::uint64_t>{2, 0, 2}));
  EXPECT_EQ(entry.sensitivity.scores, (std::vector<double>{2, 0, 6}));  // |g w|
  ModelTensor tensor;
  tensor.name = "blk.0.ffn_up_exps.weight";
  tensor.n_dims = 3;
  tensor.ne = {kHidden, kFfn, 3, 1};
  const auto importance = importance_of(imatrix, tensor);
  ASSERT_TRUE(importance);
  EXPECT_EQ(importance->columns.at(0), std::vector<float>(kHidden, 2.0F));
  EXPECT_EQ(importance->columns.at(1), std::vector<float>(kHidden, 4.0F));
  EXPECT_EQ(importance->columns.at(2), std::vector<float>(kHidden, 6.0F));
}

TEST(ExpertStatistics, a_gradient_of_nothing_measures_nothing_even_if_all_tokens_were_shown) {
  const ModelSpec spec = spec_of_experts();
  LayerStatistics statistics(spec, ImportanceMethod::gradient);
  add_sample(statistics, 2.0F);
  const std::vector<float> shown(2 * kHidden, 1.0F);  // as --moe-all-experts does
  statistics.input({MatmulInput::experts, 1, shown, kHidden}).add_sample(shown);
  Imatrix imatrix;
  statistics.write(0, *scale::source_of({spec}), imatrix);
  const ImatrixEntry& entry = imatrix.entries.at("blk.0.ffn_up_exps.weight");
  EXPECT_EQ(entry.counts.at(1), 2u);
  EXPECT_EQ(entry.importance_count(0), 1u);
  EXPECT_EQ(entry.importance_count(1), 0u);
  const ImatrixGaps gaps = find_gaps(imatrix);
  EXPECT_TRUE(
      std::count(gaps.without_tokens.begin(), gaps.without_tokens.end(), "blk.0.ffn_up_exps.weight[1]"));
  EXPECT_FALSE(gaps.dead_columns.contains("blk.0.ffn_up_exps.weight"));
}

}  // namespace
