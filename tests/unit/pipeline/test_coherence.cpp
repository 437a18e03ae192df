// The coherence check on pebble: exactly 1 for the model itself, no bit of it from memory or threads, bad
// numbers named; and what a generation keeps in memory.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include <gtest/gtest.h>

#include "llmq/core/error.hpp"
#include "llmq/model/derived_source.hpp"
#include "llmq/model/patched_source.hpp"
#include "llmq/pipeline/coherence.hpp"

#include "pipeline/generate.hpp"
#include "support/quiet_stage.hpp"

namespace {
using namespace llmq;
using testing_support::pebble;
using Stage = testing_support::QuietStage;

CoherenceResult measure(const StageContext& context, const ModelSource& original,
                        const ModelSource& quantized) {
  return measure_coherence(context, {original, "original"}, {quantized, "quantized.gguf"},
                           *make_tokenizer(original.vocabulary()));
}

/// Every weight of a matrix rounded to a multiple of `step`.
class CoarseSource final : public DerivedSource {
 public:
  CoarseSource(const ModelSource& source, float step) : DerivedSource(source), step_(step) {}
  void read_rows(const ModelTensor& tensor, std::uint64_t row, std::uint64_t count, RowOrder order,
                 std::span<float> out) const override {
    source_.read_rows(tensor, row, count, order, out);
    if (tensor.n_dims < 2) return;
    for (float& value : out) value = step_ * std::round(value / step_);
  }
  std::string fingerprint() const override { return "coarse"; }

 private:
  float step_;
};

/// The weights of every row of a matrix in another order: what is left of a model is its statistics.
class ShuffledSource final : public DerivedSource {
 public:
  using DerivedSource::DerivedSource;
  void read_rows(const ModelTensor& tensor, std::uint64_t row, std::uint64_t count, RowOrder order,
                 std::span<float> out) const override {
    source_.read_rows(tensor, row, count, order, out);
    if (tensor.n_dims < 2) return;
    for (std::uint64_t i = 0; i < count; ++i) {
      std::mt19937_64 random(row + i);
      const std::span<float> values = out.subspan(i * tensor.row_elems(), tensor.row_elems());
      std::shuffle(values.begin(), values.end(), random);
    }
  }
  std::string fingerprint() const override { return "shuffled"; }
};

void expect_same(const CoherenceResult& a, const CoherenceResult& b) {
  EXPECT_EQ(a.figures.score, b.figures.score);
  EXPECT_EQ(a.figures.likelihood, b.figures.likelihood);
  EXPECT_EQ(a.figures.repetition, b.figures.repetition);
  EXPECT_EQ(a.figures.agreement, b.figures.agreement);
  EXPECT_EQ(a.figures.mean_log_p_quantized, b.figures.mean_log_p_quantized);
  EXPECT_EQ(a.figures.mean_log_p_original, b.figures.mean_log_p_original);
  ASSERT_EQ(a.examples.size(), b.examples.size());
  for (std::size_t i = 0; i < a.examples.size(); ++i)
    EXPECT_EQ(a.examples[i].quantized, b.examples[i].quantized);
}

TEST(CoherenceCheck, a_model_beside_itself_scores_exactly_one) {
  const Stage stage;
  const auto source = pebble();
  const CoherenceResult result = measure(stage.context, *source, *source);
  EXPECT_EQ(result.figures.score, 1);
  EXPECT_EQ(result.figures.agreement, 1);
  EXPECT_EQ(result.figures.mean_log_p_original, result.figures.mean_log_p_quantized);
  EXPECT_EQ(result.prompts, 16u);
  EXPECT_EQ(result.length, 64u);
  EXPECT_EQ(result.figures.tokens, 2u * 16 * 64);
  ASSERT_EQ(result.examples.size(), 4u);
  for (const Continuation& example : result.examples) {
    EXPECT_EQ(example.original, example.quantized);
    EXPECT_GT(example.original.size(), 64u);
  }
  EXPECT_EQ(result.examples[0].prompt, result.examples[1].prompt);
  EXPECT_NE(result.examples[0].original, result.examples[1].original);  // greedy and sampled
}

#ifdef LLMQ_SANITIZED
constexpr bool kSanitized = true;  // twenty times as slow: one of several runs of the same code is enough
#else
constexpr bool kSanitized = false;
#endif

TEST(CoherenceCheck, fewer_bits_score_lower_and_neither_threads_nor_memory_change_a_bit) {
  const Stage stage;
  const auto source = pebble();
  const CoarseSource fine(*source, 0.002F), coarse(*source, 0.05F);
  const CoherenceResult good = measure(stage.context, *source, fine);
  const CoherenceResult poor = measure(stage.context, *source, coarse);
  EXPECT_GT(good.figures.score, 0.9);
  EXPECT_LT(poor.figures.score, good.figures.score - 0.1);

  const GenerationDemand demand =
      generation_demand(source->spec(), *make_short_pass(source->spec(), 100), 100, 1);
  // Layers read again at every step, in two turns; then all of them resident, in five.
  for (const GenerationPlan& plan : {GenerationPlan{16, 0}, GenerationPlan{7, 4}}) {
    const std::uint64_t limit = generation_bytes(demand, plan);
    ASSERT_EQ(plan_generation(demand, 32, limit).resident_layers, plan.resident_layers);
    const StageContext tight{stage.comm, stage.context.log, 1, limit};
    expect_same(measure(tight, *source, coarse), poor);
    if (kSanitized) break;
  }
  const StageContext none{stage.comm, stage.context.log, 1, std::uint64_t{1} << 20};
  EXPECT_THROW(measure(none, *source, coarse), Error);
}

TEST(CoherenceCheck, a_model_with_shuffled_weights_is_told) {
  if (kSanitized) GTEST_SKIP() << "its figures are for other builds";
  const Stage stage;
  const auto source = pebble();
  const CoherenceResult result = measure(stage.context, *source, ShuffledSource(*source));
  EXPECT_LT(result.figures.score, 0.02);
  EXPECT_LT(result.figures.agreement, 0.1);
}

TEST(CoherenceCheck, a_model_that_gives_bad_numbers_is_named) {
  const Stage stage;
  const auto source = pebble();
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const char* tensor : {"output.weight", "blk.2.ffn_down.weight"}) {
      const PatchedSource broken(*source, {{tensor, 17, 5, bad}});
      try {
        measure(stage.context, *source, broken);
        FAIL() << "picked from bad logits of " << tensor;
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::importance);
        EXPECT_EQ(std::string(error.what()).find("quantized.gguf: NaN or Inf in the logits at token 1 "), 0u)
            << error.what();
      }
    }
  }
}

TEST(CoherenceCheck, models_of_different_vocabularies_are_refused) {
  const Stage stage;
  const auto source = pebble();
  const auto other = open_model(std::string(LLMQ_TEST_DATA) + "/stories260k");
  EXPECT_THROW(measure(stage.context, *source, *other), Error);
}

constexpr GenerationDemand kDemand{.fixed = 1000, .head = 150, .layer = 100, .sequence = 10, .layers = 8};

TEST(GenerationPlan, holds_everything_where_it_fits) {
  // 1000 + 150 + 32 * 10 + 9 * 100: a layer is held twice while it is loaded
  EXPECT_EQ(generation_bytes(kDemand, {32, 8}), 2370u);
  const GenerationPlan plan = plan_generation(kDemand, 32, 2370);
  EXPECT_EQ(plan.sequences, 32u);
  EXPECT_EQ(plan.resident_layers, 8u);
}

TEST(GenerationPlan, takes_turns_before_it_reads_layers_again) {
  const GenerationPlan plan = plan_generation(kDemand, 32, 2369);
  EXPECT_EQ(plan.sequences, 31u);
  EXPECT_EQ(plan.resident_layers, 8u);
  const GenerationPlan many_turns = plan_generation(kDemand, 32, generation_bytes(kDemand, {3, 8}));
  EXPECT_EQ(many_turns.sequences, 32u);
  EXPECT_LT(many_turns.resident_layers, 8u);
}

TEST(GenerationPlan, never_exceeds_its_limit) {
  for (std::uint64_t limit = 0; limit < 4000; limit += 7) {
    for (const std::size_t sequences : {std::size_t{1}, std::size_t{5}, std::size_t{32}}) {
      const GenerationPlan plan = plan_generation(kDemand, sequences, limit);
      ASSERT_LE(plan.sequences, sequences);
      if (plan.sequences == 0) {
        EXPECT_GT(generation_bytes(kDemand, {1, 0}), limit);
      } else {
        EXPECT_LE(generation_bytes(kDemand, plan), limit);
      }
    }
  }
}

}  // namespace
