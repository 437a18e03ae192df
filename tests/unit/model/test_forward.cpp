// The forward pass against plain loops in double precision, and its promise that bits do not depend on
// threads.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <thread>

#include <gtest/gtest.h>

#include "llmq/core/error.hpp"
#include "llmq/model/forward.hpp"

#include "plain_model.hpp"

namespace {
using namespace llmq;
using namespace llmq::testing_support;

void expect_near(const Values& got, const std::vector<Doubles>& wanted, double share) {
  double largest = 0;
  for (const Doubles& row : wanted) {
    for (const double value : row) largest = std::max(largest, std::abs(value));
  }
  double worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const Doubles& row = wanted[i / wanted[0].size()];
    worst = std::max(worst, std::abs(static_cast<double>(got[i]) - row[i % row.size()]));
  }
  EXPECT_LT(worst, share * largest);
}

TEST(ForwardPass, equals_plain_loops_in_double_precision) {
  for (const auto& [architecture, spec] : small_specs()) {
    SCOPED_TRACE(architecture);
    const bool tied = spec.post_norms;
    const Weights weights(tied);
    const auto pass = make_forward_pass(spec);
    const PlainModel plain(spec, weights);
    const std::vector<std::int32_t> ids = some_ids(200, spec.vocab_size);  // more than one block of queries
    Values hidden(ids.size() * spec.hidden_size), logits(ids.size() * spec.vocab_size);
    pass->embed(*pass->load_embedding(std::cref(weights)), ids, hidden);
    std::vector<Doubles> wanted(ids.size());
    for (std::size_t t = 0; t < ids.size(); ++t) {
      wanted[t].assign(hidden.begin() + static_cast<std::ptrdiff_t>(t * spec.hidden_size),
                       hidden.begin() + static_cast<std::ptrdiff_t>((t + 1) * spec.hidden_size));
    }
    for (std::uint32_t layer = 0; layer < spec.n_layers; ++layer) {
      pass->run_layer(*pass->load_layer(layer, std::cref(weights)), hidden, {});
      plain.layer(layer, wanted);
      expect_near(hidden, wanted, 2e-6);
    }
    pass->run_head(*pass->load_head(std::cref(weights)), hidden, logits);
    for (Doubles& row : wanted) row = plain.logits(row, tied ? "token_embd.weight" : "output.weight");
    expect_near(logits, wanted, 3e-6);
  }
}

TEST(ForwardPass, observers_see_the_input_of_every_matmul) {
  const ModelSpec spec = small_spec();
  const Weights weights(false);
  const auto pass = make_forward_pass(spec);
  Values hidden = pseudo_random(10 * spec.hidden_size, 5, 1.0F);
  std::map<MatmulInput, std::size_t> seen;
  pass->run_layer(*pass->load_layer(0, std::cref(weights)), hidden, [&](const MatmulRows& rows) {
    EXPECT_EQ(rows.x.size(), 10 * rows.in_features);
    seen[rows.input] = rows.in_features;
  });
  const std::map<MatmulInput, std::size_t> wanted{{MatmulInput::attention, 40},
                                                  {MatmulInput::attention_output, 48},
                                                  {MatmulInput::ffn, 40},
                                                  {MatmulInput::ffn_down, 56}};
  EXPECT_EQ(seen, wanted);
}

TEST(ForwardPass, observers_see_what_each_expert_is_given) {
  for (const auto& [name, spec] : small_specs()) {
    if (spec.n_experts == 0) continue;
    const Weights weights(false);
    Values hidden = pseudo_random(40 * spec.hidden_size, 5, 1.0F);
    std::map<std::pair<MatmulInput, std::uint32_t>, std::size_t> tokens;
    const auto pass = make_forward_pass(spec);
    pass->run_layer(*pass->load_layer(0, std::cref(weights)), hidden, [&](const MatmulRows& rows) {
      EXPECT_EQ((tokens.emplace(std::pair(rows.input, rows.expert), rows.x.size() / rows.in_features).second),
                true);
    });
    std::size_t given = 0;
    for (std::uint32_t expert = 0; expert < spec.n_experts; ++expert) {
      const auto in = tokens.find({MatmulInput::experts, expert});
      if (in == tokens.end()) continue;
      given += in->second;
      EXPECT_EQ(tokens.at({MatmulInput::experts_down, expert}), in->second);
    }
    EXPECT_EQ(given, 40 * spec.n_experts_used) << name;
    EXPECT_EQ(tokens.count({MatmulInput::ffn_down, 0}), spec.shared_ffn > 0 ? 1u : 0u) << name;
  }
}

TEST(ForwardPass, observers_may_see_every_expert_at_all_tokens) {
  for (auto [name, spec] : small_specs()) {
    if (spec.n_experts == 0) continue;
    const auto watch = [](const ModelSpec& of, ExpertTokens watched, Values& hidden) {
      const Weights weights(false);
      std::map<std::pair<MatmulInput, std::uint32_t>, Values> seen;
      const auto pass = make_forward_pass(of);
      const MatmulObserver observer = [&](const MatmulRows& rows) {
        seen[{rows.input, rows.expert}].assign(rows.x.begin(), rows.x.end());
      };
      pass->run_layer(*pass->load_layer(0, std::cref(weights)), hidden, observer, {}, watched);
      return seen;
    };
    const Values before = pseudo_random(40 * spec.hidden_size, 5, 1.0F);
    Values given_out = before, all_out = before, used_out = before;
    const auto given = watch(spec, ExpertTokens::given, given_out);
    const auto all = watch(spec, ExpertTokens::all, all_out);
    for (std::uint32_t expert = 0; expert < spec.n_experts; ++expert) {
      EXPECT_EQ(all.at({MatmulInput::experts, expert}).size(), 40 * spec.hidden_size) << name;
      EXPECT_EQ(all.at({MatmulInput::experts_down, expert}).size(), 40 * spec.expert_ffn) << name;
    }
    for (std::size_t i = 0; i < given_out.size(); ++i) EXPECT_NEAR(all_out[i], given_out[i], 1e-5) << name;
    EXPECT_EQ(all.at({MatmulInput::attention_output, 0}), given.at({MatmulInput::attention_output, 0}));

    // A model that gives every token to every expert shows the same without being asked.
    spec.n_experts_used = spec.n_experts;
    EXPECT_EQ(watch(spec, ExpertTokens::given, used_out), all) << name;
  }
}

TEST(ForwardPass, bits_do_not_depend_on_threads) {
  const ModelSpec spec = small_spec();
  const Weights weights(false);
  const auto pass = make_forward_pass(spec);
  const auto layer = pass->load_layer(0, std::cref(weights));
  std::vector<Values> alone, together;
  for (std::uint64_t sample = 0; sample < 8; ++sample) {
    alone.push_back(pseudo_random(150 * spec.hidden_size, sample + 1, 1.0F));
  }
  together = alone;
  for (Values& hidden : alone) pass->run_layer(*layer, hidden, {});
  std::vector<std::thread> threads;
  for (Values& hidden : together) threads.emplace_back([&] { pass->run_layer(*layer, hidden, {}); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(alone, together);
}

TEST(ForwardPass, a_bad_number_reaches_the_observers_and_the_result) {
  const ModelSpec spec = small_spec();
  const Weights weights(false);
  const auto pass = make_forward_pass(spec);
  const auto layer = pass->load_layer(0, std::cref(weights));
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Values hidden = pseudo_random(20 * spec.hidden_size, 3, 1.0F);
    hidden[7 * spec.hidden_size + 11] = bad;
    std::map<MatmulInput, bool> sound;

    pass->run_layer(*layer, hidden, [&](const MatmulRows& rows) {
      sound[rows.input] =
          std::all_of(rows.x.begin(), rows.x.end(), [](float value) { return std::isfinite(value); });
    });

    for (const auto& [input, finite] : sound) EXPECT_FALSE(finite) << static_cast<int>(input);
    const auto row = hidden.begin() + 7 * static_cast<std::ptrdiff_t>(spec.hidden_size);
    EXPECT_TRUE(std::isnan(*row));
  }
}

TEST(ForwardPass, stages_are_timed) {
  const ModelSpec spec = small_spec();
  const Weights weights(false);
  const auto pass = make_forward_pass(spec);
  const auto layer = pass->load_layer(0, std::cref(weights));
  Values hidden = pseudo_random(200 * spec.hidden_size, 3, 1.0F);
  EXPECT_EQ(pass->stage_seconds().matmul, 0);

  pass->run_layer(*layer, hidden, {});

  const StageSeconds stages = pass->stage_seconds();
  EXPECT_GT(stages.matmul, 0);
  EXPECT_GT(stages.attention, 0);
  EXPECT_GT(stages.elementwise, 0);
  EXPECT_LT(stages.matmul + stages.attention + stages.elementwise, 1);
}

TEST(ForwardPass, a_missing_tensor_is_named) {
  const ModelSpec spec = small_spec();
  const auto pass = make_forward_pass(spec);
  const Weights weights(false);
  try {
    pass->load_layer(1, [&](std::string_view name, std::span<float> out) {
      return name != "blk.1.ffn_up.weight" && weights(name, out);
    });
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("blk.1.ffn_up.weight"), std::string::npos);
  }
}

}  // namespace
