// What a profile, rules and an importance matrix leave to choose, the limits on it, and the search for the
// smallest coherent file.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "llmq/allocate/candidates.hpp"
#include "llmq/core/error.hpp"
#include "llmq/pipeline/profile.hpp"
#include "llmq/pipeline/quantize_plan.hpp"
#include "llmq/pipeline/samples.hpp"

#include "pipeline/dynamic_compression.hpp"
#include "pipeline/dynamic_layers.hpp"
#include "pipeline/dynamic_problem.hpp"

namespace {
using namespace llmq;
using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

using Type = GgmlType;

/// A table in which losses fall fourfold a bit, and what a tensor's bits are worth depends on its name.
Atlas made_up_atlas(const std::vector<DynamicTensor>& tensors) {
  Atlas atlas;
  for (const DynamicTensor& tensor : tensors) {
    AtlasTensor& made = atlas.tensors[tensor.tensor->name];
    made.in_features = tensor.tensor->row_elems();
    made.rows = made.sampled_rows = tensor.tensor->rows();
    made.power = 1;
    for (const Type type : tensor.measured)
      made.cells.push_back({type, std::exp2(-2 * bits_per_weight(type)), 0.1, 0});
    std::sort(made.cells.begin(), made.cells.end(),
              [](const AtlasCell& a, const AtlasCell& b) { return a.type < b.type; });
  }
  return atlas;
}

class Dynamic : public testing::Test {
 protected:
  Dynamic() : source_(open_model(std::string(LLMQ_TEST_DATA) + "/pebble")) {
    for (const ModelTensor& tensor : source_->tensors()) {
      if (tensor.n_dims < 2) continue;
      importance_[tensor.name].columns = {std::vector<float>(tensor.ne[0], 1.0F)};
    }
    profile_.id = "test";
  }

  void rule(const char* pattern, const char* type) {
    rules_.by_name.push_back(make_type_rule(pattern, type));
  }

  void assign(const char* name, double bits, std::vector<TensorPin> pins = {}) {
    profile_.layer_assignments.push_back({name, bits, false, std::move(pins)});
  }

  void fit() {
    fit_ = fit_profile(profile_, profile_tensors(*source_, rules_));
    tensors_ = dynamic_tensors(*source_, rules_, fit_, importance_);
  }

  const DynamicTensor& tensor(const std::string& name) const {
    const auto found = std::find_if(tensors_.begin(), tensors_.end(),
                                    [&](const DynamicTensor& each) { return each.tensor->name == name; });
    if (found == tensors_.end()) throw InternalError(name + " is not to be chosen");
    return *found;
  }

  AllocationProblem problem(const DynamicBudget& budget) const {
    const Atlas atlas = made_up_atlas(tensors_);
    const LossModel losses(atlas);
    return make_problem(tensors_, &losses, fit_, budget);
  }

  DynamicBudget budget(std::uint64_t fixed = 0) const {
    return dynamic_budget(options_, profile_, *source_, tensors_, fixed);
  }

  /// Message of the error that `call` ends with.
  template <typename Call>
  static std::string refusal(ExitCode code, const Call& call) {
    try {
      call();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      return error.what();
    }
    ADD_FAILURE() << "accepted";
    return {};
  }

  std::unique_ptr<ModelSource> source_;
  ImportanceMap importance_;
  Profile profile_;
  TypeRules rules_;
  DynamicOptions options_;
  ProfileFit fit_;
  std::vector<DynamicTensor> tensors_;
};

std::uint64_t weights_of(const std::vector<DynamicTensor>& tensors) {
  std::uint64_t weights = 0;
  for (const DynamicTensor& tensor : tensors) weights += tensor.tensor->elements();
  return weights;
}

// --- what may become of each tensor

TEST_F(Dynamic, without_a_word_every_candidate_is_allowed) {
  fit();
  EXPECT_EQ(tensors_.size(), 30U);  // 7 a layer, and both ends
  for (const DynamicTensor& each : tensors_) {
    EXPECT_EQ(each.allowed, candidate_types(256, Type::BF16)) << each.tensor->name;
    EXPECT_EQ(each.measured, each.allowed);
    EXPECT_EQ(each.pinned_by, "");
    EXPECT_EQ(&source_->tensors()[each.index], each.tensor);
  }
}

TEST_F(Dynamic, rules_win_over_pins_of_the_profile) {
  assign("model.layers.*.self_attn", 6, {{"attn_v", Type::Q6_K}});
  rule("blk\\.0\\.attn_v", "Q4_0");
  rule("blk\\.1\\.attn_q", "Q5_K");
  fit();
  EXPECT_THAT(tensor("blk.0.attn_v.weight").allowed, ElementsAre(Type::Q4_0));
  EXPECT_EQ(tensor("blk.0.attn_v.weight").pinned_by, "option");
  EXPECT_EQ(tensor("blk.0.attn_v.weight").rule, 0U);
  EXPECT_THAT(tensor("blk.1.attn_v.weight").allowed, ElementsAre(Type::Q6_K));
  EXPECT_EQ(tensor("blk.1.attn_v.weight").pinned_by, "profile");
  EXPECT_EQ(tensor("blk.1.attn_v.weight").rule, std::nullopt);
  EXPECT_THAT(tensor("blk.1.attn_q.weight").allowed, ElementsAre(Type::Q5_K));
  EXPECT_EQ(tensor("blk.1.attn_q.weight").rule, 1U);
  EXPECT_EQ(tensor("blk.2.attn_q.weight").allowed, candidate_types(256, Type::BF16));
  // What is pinned must be in the table, and the table stays sorted.
  const std::vector<Type>& measured = tensor("blk.0.attn_v.weight").measured;
  EXPECT_TRUE(std::is_sorted(measured.begin(), measured.end()));
  EXPECT_TRUE(std::binary_search(measured.begin(), measured.end(), Type::Q4_0));
  EXPECT_THAT(measured, SizeIs(candidate_types(256, Type::BF16).size() + 1));
  EXPECT_EQ(tensor("blk.1.attn_v.weight").measured, candidate_types(256, Type::BF16));

  const std::vector<TypeChoice> choices = type_choices(*source_, tensors_, Choices(tensors_.size(), 0));
  EXPECT_EQ(choices[tensor("blk.0.attn_v.weight").index].type, Type::Q4_0);
  EXPECT_EQ(choices[tensor("blk.0.attn_v.weight").index].rule, 0U);
  for (std::size_t i = 0; i < choices.size(); ++i)
    EXPECT_EQ(choices[i].quantized, source_->tensors()[i].n_dims == 2) << source_->tensors()[i].name;
}

TEST_F(Dynamic, both_ends_follow_their_options) {
  rules_.output = Type::Q6_K;
  rules_.token_embd = Type::Q8_0;
  fit();
  EXPECT_THAT(tensor("output.weight").allowed, ElementsAre(Type::Q6_K));
  EXPECT_THAT(tensor("token_embd.weight").allowed, ElementsAre(Type::Q8_0));
  rules_.leave_output = true;
  fit();
  EXPECT_EQ(tensors_.size(), 29U);
  EXPECT_THROW(tensor("output.weight"), InternalError);
}

TEST_F(Dynamic, uncovered_tensors_never_get_types_that_need_importance) {
  for (const char* name : {"blk.2.ffn_up.weight", "token_embd.weight", "output.weight"})
    importance_.erase(name);
  fit();
  const DynamicTensor& up = tensor("blk.2.ffn_up.weight");
  EXPECT_EQ(up.measured, candidate_types(256, Type::BF16));
  EXPECT_FALSE(up.allowed.empty());
  for (const Type type : up.measured) {
    EXPECT_EQ(std::binary_search(up.allowed.begin(), up.allowed.end(), type),
              !requires_imatrix(type, *find_file_level("Q2_K"), "blk.2.ffn_up.weight"))
        << type_name(type);
  }
  EXPECT_THAT(up.allowed, Not(testing::Contains(Type::IQ2_XS)));
  EXPECT_THAT(up.allowed, Not(testing::Contains(Type::IQ1_S)));
  EXPECT_THAT(up.allowed, testing::Contains(Type::Q4_K));
  // Both ends may have any type without.
  EXPECT_EQ(tensor("token_embd.weight").allowed, candidate_types(256, Type::BF16));
  EXPECT_EQ(tensor("output.weight").allowed, candidate_types(256, Type::BF16));
  // With the mix of a level that needs what is not allowed there is nothing to compare with.
  EXPECT_EQ(stock_choices(*find_file_level("IQ2_XS"), *source_, rules_, tensors_), std::nullopt);
  EXPECT_NE(stock_choices(*find_file_level("Q4_K_M"), *source_, rules_, tensors_), std::nullopt);
}

TEST_F(Dynamic, pins_without_the_importance_they_need_are_all_named) {
  for (const char* name : {"blk.2.ffn_up.weight", "blk.3.attn_v.weight", "blk.1.ffn_gate.weight"})
    importance_.erase(name);
  assign("model.layers.3.self_attn", 4, {{"attn_v", Type::IQ2_S}});
  rule("blk\\.2", "IQ1_S");
  rule("blk\\.1", "Q4_K");
  const std::string message = refusal(ExitCode::imatrix, [&] { fit(); });
  EXPECT_THAT(message,
              AllOf(HasSubstr("blk.2.ffn_up.weight (IQ1_S)"), HasSubstr("blk.3.attn_v.weight (IQ2_S)"),
                    Not(HasSubstr("blk.1")), Not(HasSubstr("blk.2.ffn_gate"))));
}

TEST_F(Dynamic, a_matrix_of_another_model_is_refused) {
  Imatrix other;
  other.entries["blk.9.attn_q.weight"] = {256, 1, std::vector<double>(256, 1), {}, {}, {}, {1}, {}};
  EXPECT_THAT(refusal(ExitCode::imatrix, [&] { (void)importance_map(other, *source_); }),
              HasSubstr("no entry"));
}

// --- limits

TEST_F(Dynamic, budgets_are_exact) {
  fit();
  const std::uint64_t weights = weights_of(tensors_), original = source_->stored_bytes();
  EXPECT_EQ(budget().target, "none");
  EXPECT_GT(budget().max_bytes, std::uint64_t{1} << 60);

  profile_.target_bpw = 3.3;
  EXPECT_EQ(budget(5000).max_bytes, static_cast<std::uint64_t>(3.3 * static_cast<double>(weights) / 8));
  EXPECT_EQ(budget().target, "3.3 bpw");
  EXPECT_EQ(budget().option, "/target_bpw of profile test");
  profile_.target_compression = 0.125;  // of two the tighter, whichever that is
  EXPECT_EQ(budget(5000).max_bytes, original / 8 - 5000);
  EXPECT_EQ(budget(5000).target, std::to_string(original / 8) + " bytes");
  EXPECT_EQ(budget(5000).option, "/target_compression of profile test");
  profile_.target_compression = 0.9;
  EXPECT_EQ(budget(5000).target, "3.3 bpw");

  options_.target_bpw = 4;  // an option takes the place of both
  EXPECT_EQ(budget(5000).max_bytes, weights / 2);
  EXPECT_EQ(budget().option, "--target-bpw");
  options_.target_bpw.reset();
  options_.target_size = TargetSize{std::nullopt, 1234567};
  EXPECT_EQ(budget(5000).max_bytes, 1229567U);
  EXPECT_EQ(budget(5000).target, "1234567 bytes");
  EXPECT_EQ(budget(1234567).max_bytes, 0U);
  EXPECT_EQ(budget(9999999).max_bytes, 0U);
  options_.target_size = TargetSize{0.3, std::nullopt};
  EXPECT_EQ(budget(7).max_bytes, static_cast<std::uint64_t>(0.3 * static_cast<double>(original)) - 7);
  EXPECT_EQ(budget().option, "--target-size");
}

TEST_F(Dynamic, a_problem_counts_bytes_as_the_file_does) {
  assign("model.layers.1.mlp", 3);
  rule("blk\\.2\\.attn_k", "Q8_0");
  profile_.target_bpw = 4;
  fit();
  const AllocationProblem made = problem(budget());
  ASSERT_EQ(made.tensors.size(), tensors_.size());
  EXPECT_EQ(made.max_bytes, weights_of(tensors_) / 2);
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    ASSERT_EQ(made.tensors[i].size(), tensors_[i].allowed.size());
    for (std::size_t t = 0; t < made.tensors[i].size(); ++t) {
      const TypeOption& option = made.tensors[i][t];
      EXPECT_EQ(option.type, tensors_[i].allowed[t]);
      const std::uint64_t bytes =
          row_bytes(option.type, tensors_[i].tensor->row_elems()) * tensors_[i].tensor->rows();
      EXPECT_EQ(option.bytes, (bytes + 31) / 32 * 32);
      EXPECT_NEAR(option.loss, std::exp2(-2 * bits_per_weight(option.type)), 1e-12);
    }
  }
  ASSERT_EQ(made.groups.size(), 1U);
  std::vector<std::string> names;
  for (const std::size_t index : made.groups[0].tensors) names.push_back(tensors_[index].tensor->name);
  EXPECT_THAT(names, testing::UnorderedElementsAre("blk.1.ffn_gate.weight", "blk.1.ffn_up.weight",
                                                   "blk.1.ffn_down.weight"));
  EXPECT_EQ(made.groups[0].max_bytes, static_cast<std::uint64_t>(3 * 196608 * 3.4375 / 8));
}

TEST_F(Dynamic, what_cannot_be_reached_says_what_can_and_what_pins_cost) {
  rule("blk\\.0\\.ffn_up", "Q8_0");
  assign("model.layers.1.self_attn", 4, {{"attn_v", Type::Q6_K}});
  options_.target_bpw = 1.6;
  fit();
  const DynamicBudget limit = budget(1000);
  const AllocationProblem made = problem(limit);
  const std::uint64_t least = bytes_of(made, smallest(made));
  ASSERT_GT(least, made.max_bytes);
  const std::string message =
      refusal(ExitCode::profile, [&] { require_feasible(made, tensors_, fit_, limit, 1000); });
  const auto digits = [](std::string text) {
    std::erase(text, ',');
    return text;
  };
  EXPECT_THAT(digits(message),
              AllOf(HasSubstr("--target-bpw: 1.6 bpw"), HasSubstr(std::to_string(least + 1000) + " bytes"),
                    HasSubstr("blk.0.ffn_up.weight as Q8_0 +" + std::to_string(196608 / 256 * (8 * 34 - 50)) +
                              " bytes (option)"),
                    HasSubstr("blk.1.attn_v.weight as Q6_K +" + std::to_string(32768 / 256 * (210 - 50)) +
                              " bytes (profile)")));
  EXPECT_LT(message.find("ffn_up"), message.find("attn_v")) << "the dearest pin first";
  // The very bytes that are possible are.
  AllocationProblem enough = made;
  enough.max_bytes = least;
  require_feasible(enough, tensors_, fit_, limit, 1000);
  enough.max_bytes = least - 1;
  EXPECT_THROW(require_feasible(enough, tensors_, fit_, limit, 1000), Error);
}

TEST_F(Dynamic, a_group_that_pins_burst_is_named) {
  assign("model.layers.2.mlp", 2);
  rule("blk\\.2\\.ffn_up", "Q8_0");
  rule("blk\\.0\\.ffn_up", "Q8_0");  // costs nothing here
  fit();
  const AllocationProblem made = problem(budget());
  const std::string message =
      refusal(ExitCode::profile, [&] { require_feasible(made, tensors_, fit_, budget(), 0); });
  EXPECT_THAT(message, AllOf(HasSubstr("/layer_assignments/0/bit_width"),
                             HasSubstr("blk.2.ffn_up.weight as Q8_0"), Not(HasSubstr("blk.0"))));
}

TEST_F(Dynamic, limits_are_raised_to_what_is_possible) {
  assign("model.layers.2.mlp", 2);
  assign("model.layers.1.mlp", 4);
  rule("blk\\.2\\.ffn_up", "Q8_0");
  options_.target_bpw = 1.57;
  fit();
  AllocationProblem relaxed = problem(budget());
  const AllocationProblem before = relaxed;
  const Choices least = smallest(before);
  EXPECT_TRUE(relax(relaxed, true));  // groups only
  EXPECT_EQ(relaxed.max_bytes, before.max_bytes);
  EXPECT_GT(relaxed.groups[0].max_bytes, before.groups[0].max_bytes);
  EXPECT_EQ(relaxed.groups[1].max_bytes, before.groups[1].max_bytes);
  EXPECT_FALSE(fits(relaxed, least));
  EXPECT_TRUE(relax(relaxed, false));
  EXPECT_EQ(relaxed.max_bytes, bytes_of(relaxed, least));
  EXPECT_TRUE(fits(relaxed, least));
  EXPECT_FALSE(relax(relaxed, false)) << "nothing is left to raise";
  require_feasible(relaxed, tensors_, fit_, budget(), 0);
}

TEST_F(Dynamic, a_level_as_choices_has_its_own_types) {
  rule("blk\\.3\\.attn_output", "Q8_0");
  fit();
  std::size_t compared = 0;
  for (const FileLevel& level : file_levels()) {
    const auto choices = stock_choices(level, *source_, rules_, tensors_);
    if (!choices) continue;
    ++compared;
    const auto types = choose_types(level, mix_model(source_->spec()), mix_tensors(*source_), true, rules_);
    for (std::size_t i = 0; i < tensors_.size(); ++i)
      EXPECT_EQ(tensors_[i].allowed[(*choices)[i]], types[tensors_[i].index].type)
          << level.name << " " << tensors_[i].tensor->name;
  }
  EXPECT_GT(compared, 10U);
  EXPECT_EQ(stock_choices(*find_file_level("Q4_0"), *source_, rules_, tensors_), std::nullopt);
}

TEST_F(Dynamic, a_mix_is_called_by_the_type_of_most_weights) {
  rule("ffn", "Q6_K");
  rule(".", "Q4_K");
  fit();
  EXPECT_EQ(level_of(tensors_, Choices(tensors_.size(), 0)).default_type, Type::Q6_K);
}

TEST_F(Dynamic, layers_are_summed_up_and_marked_where_weights_are_protected) {
  rule("blk\\.1\\.", "Q8_0");
  rule("blk\\.2\\.attn", "Q4_K");
  rule("blk\\.2\\.ffn", "IQ2_XXS");
  rule("output", "Q6_K");
  rule(".", "Q4_K");
  fit();
  Protection protection;
  protection.weights["blk.1.ffn_down.weight"] = {3};
  protection.weights["output.weight"] = {5};
  const Choices pinned(tensors_.size(), 0);
  const auto layers = summarize_layers(tensors_, pinned, &protection);
  std::vector<std::string> names, held;
  for (const LayerSummary& layer : layers) {
    names.push_back(layer.layer_name);
    if (layer.is_protected) held.push_back(layer.layer_name);
  }
  EXPECT_THAT(names, ElementsAre("model.layers.0", "model.layers.1", "model.layers.2", "model.layers.3",
                                 "model.embed_tokens", "lm_head"));
  EXPECT_THAT(held, ElementsAre("model.layers.1", "lm_head"));
  EXPECT_EQ(layers[1].bit_width, 8.5);
  EXPECT_EQ(layers[2].bit_width, (4.5 * 196608 + 2.0625 * 589824) / 786432);
  EXPECT_EQ(layers[2].parameter_count, 786432U);
  EXPECT_EQ(layers[5].bit_width, 6.5625);
  for (const LayerSummary& layer : summarize_layers(tensors_, pinned, nullptr))
    EXPECT_FALSE(layer.is_protected);
  EXPECT_THAT(kind_lines(tensors_, pinned),
              ElementsAre(HasSubstr("Attention layers (4): "), HasSubstr("MLP layers (4): "),
                          HasSubstr("Embeddings: 4.50-bit"), HasSubstr("Output: 6.56-bit")));
}

// --- compression-max

class Compression : public Dynamic {
 protected:
  Compression() {
    fit();
    const SampleRequest text{std::string(LLMQ_TEST_DATA) + "/text/story.txt", "", "", 128, 2, 256};
    samples_ = make_samples(text, *make_tokenizer(source_->vocabulary()), log_);
    // Every tensor the same type: sizes that ascend with the type's bits.
    order_.resize(tensors_[0].allowed.size());
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::stable_sort(order_.begin(), order_.end(), [&](std::size_t a, std::size_t b) {
      return bits_per_weight(tensors_[0].allowed[a]) < bits_per_weight(tensors_[0].allowed[b]);
    });
  }

  double bits(const Choices& choices) const { return bits_per_weight(tensors_[0].allowed[choices[0]]); }

  std::uint64_t bytes_at(double bits_a_weight) const {
    return static_cast<std::uint64_t>(bits_a_weight * static_cast<double>(weights_of(tensors_)) / 8);
  }

  CompressionChoice search(double threshold_pct, double least, double most) {
    asked_.clear();
    const StageContext context{comm_, log_, 2, std::uint64_t{4} << 30};
    std::vector<AtlasTask> tasks;
    for (const DynamicTensor& each : tensors_)
      tasks.push_back(
          {.tensor = each.tensor, .importance = &importance_.at(each.tensor->name), .types = each.measured});
    return compress_most(context, *source_, tensors_, tasks, samples_, threshold_pct, bytes_at(least),
                         bytes_at(most), [&](std::uint64_t bytes) {
                           asked_.push_back(bytes);
                           std::size_t best = order_[0];
                           for (const std::size_t type : order_) {
                             if (bytes_at(bits_per_weight(tensors_[0].allowed[type])) <= bytes) best = type;
                           }
                           return Choices(tensors_.size(), best);
                         });
  }

  Communicator comm_ = Communicator::serial();
  Log log_{LogOptions{Verbosity::quiet, false, false, "", ""}};
  SampleSet samples_;
  std::vector<std::size_t> order_;
  std::vector<std::uint64_t> asked_;
};

TEST_F(Compression, everything_coherent_is_the_smallest) {
  const CompressionChoice found = search(1e30, 1.5625, 16);
  EXPECT_EQ(bits(found.choices), 1.5625);
  // One round was enough: four sizes from end to end, in equal ratios.
  ASSERT_EQ(asked_.size(), 4U);
  EXPECT_EQ(asked_.front(), bytes_at(1.5625));
  EXPECT_EQ(asked_.back(), bytes_at(16));
  for (std::size_t i = 0; i < 4; ++i)
    EXPECT_NEAR(static_cast<double>(asked_[i]),
                static_cast<double>(bytes_at(1.5625)) * std::pow(16 / 1.5625, static_cast<double>(i) / 3), 2);
  ASSERT_THAT(found.decision, SizeIs(4));
  EXPECT_THAT(found.decision.front(),
              AllOf(HasSubstr("1.562 bits a weight"), HasSubstr("<- the smallest within")));
  for (std::size_t i = 1; i < found.decision.size(); ++i)
    EXPECT_THAT(found.decision[i], Not(HasSubstr("<-")));
}

TEST_F(Compression, nothing_coherent_is_the_largest_that_was_tried) {
  const CompressionChoice found = search(-1e30, 1.5625, 4.5);
  EXPECT_EQ(bits(found.choices), 4.5);
  EXPECT_THAT(found.decision.back(), AllOf(HasSubstr("4.500 bits a weight"), HasSubstr("<- none is within")));
}

TEST_F(Compression, further_rounds_look_between_two_sizes) {
  // A threshold that half precision keeps and the smallest type does not.
  const CompressionChoice found = search(20, 1.5625, 16);
  EXPECT_GT(bits(found.choices), 1.5625);
  EXPECT_LT(bits(found.choices), 16);
  ASSERT_GE(asked_.size(), 8U);
  ASSERT_EQ(asked_.size() % 4, 0U);
  for (std::size_t round = 4; round < asked_.size(); round += 4) {  // each inside the one before
    EXPECT_TRUE(std::is_sorted(asked_.begin() + static_cast<std::ptrdiff_t>(round),
                               asked_.begin() + static_cast<std::ptrdiff_t>(round + 4)));
    EXPECT_LT(asked_[round + 3] - asked_[round], asked_[round - 1] - asked_[round - 4]);
  }
  // Lines ascend by size; the marked one is within, the one below it is not.
  std::vector<double> increases;
  std::size_t marked = 0;
  for (std::size_t i = 0; i < found.decision.size(); ++i) {
    double width = 0, increase = 0;
    ASSERT_EQ(std::sscanf(found.decision[i].c_str(), "%lf bits a weight: perplexity %lf", &width, &increase),
              2);
    increases.push_back(increase);
    if (found.decision[i].find("<- the smallest within 20 %") == std::string::npos) continue;
    marked = i;
    EXPECT_NEAR(width, bits(found.choices), 0.001);
  }
  ASSERT_GT(marked, 0U);
  EXPECT_GT(increases[marked - 1], 20);
  for (std::size_t i = marked; i < increases.size(); ++i) EXPECT_LE(increases[i], 20) << i;
}

}  // namespace
