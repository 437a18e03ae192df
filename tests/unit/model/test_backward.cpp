// The backward pass against differences of a loss in double precision, and the gradients' own promises.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <set>
#include <thread>

#include <gtest/gtest.h>

#include "llmq/model/forward.hpp"

#include "head_in_parts.hpp"
#include "plain_model.hpp"

namespace {
using namespace llmq;
using namespace llmq::testing_support;

/// Mean next-token loss by plain loops.
double plain_loss(const ModelSpec& spec, const Weights& weights, const std::vector<std::int32_t>& ids) {
  const PlainModel plain(spec, weights);
  const Values& table = weights.get("token_embd.weight", std::size_t{spec.vocab_size} * spec.hidden_size);
  std::vector<Doubles> hidden(ids.size());
  for (std::size_t t = 0; t < ids.size(); ++t) {
    const auto row = table.begin() + static_cast<std::ptrdiff_t>(ids[t]) * spec.hidden_size;
    hidden[t].assign(row, row + spec.hidden_size);
    for (double& value : hidden[t]) value *= static_cast<double>(spec.embedding_scale);
  }
  for (std::uint32_t layer = 0; layer < spec.n_layers; ++layer) plain.layer(layer, hidden);
  double loss = 0;
  for (std::size_t t = 0; t + 1 < ids.size(); ++t) {
    const Doubles logits = plain.logits(hidden[t], "output.weight");
    double sum = 0;
    for (const double logit : logits) sum += std::exp(logit);
    loss += std::log(sum) - logits[static_cast<std::size_t>(ids[t + 1])];
  }
  return loss / static_cast<double>(ids.size() - 1);
}

/// Rows of a tensor that is there as a whole.
RowLoader make_row_loader(const WeightLoader& weights, const ModelSpec& spec) {
  return [&weights, &spec](std::string_view name, std::uint64_t first, std::span<float> out) {
    const bool norm = name.starts_with("output_norm.");
    Values all(norm ? spec.hidden_size : std::size_t{spec.vocab_size} * spec.hidden_size);
    if (!weights(name, all)) return false;
    std::copy_n(all.begin() + static_cast<std::ptrdiff_t>(first * spec.hidden_size), out.size(), out.begin());
    return true;
  };
}

struct Gradients {
  double loss = 0;
  std::map<std::pair<std::string, std::uint32_t>, Values> of;  ///< by GGUF name and expert
  std::set<std::pair<std::uint32_t, std::uint32_t>> used;  ///< layers and those of their experts with a token
};

Gradients backward(const ModelSpec& spec, const ForwardPass& pass, const WeightLoader& weights,
                   const std::vector<std::int32_t>& ids) {
  std::vector<Values> states(spec.n_layers + 1, Values(ids.size() * spec.hidden_size));
  Gradients result;
  pass.embed(*pass.load_embedding(weights), ids, states[0]);
  for (std::uint32_t layer = 0; layer < spec.n_layers; ++layer) {
    states[layer + 1] = states[layer];
    pass.run_layer(*pass.load_layer(layer, weights), states[layer + 1], [&](const MatmulRows& rows) {
      if (rows.input == MatmulInput::experts) result.used.emplace(layer, rows.expert);
    });
  }
  Values& gradient = states[spec.n_layers];
  result.loss = loss_and_gradient(spec, pass, make_row_loader(weights, spec), ids, gradient);
  for (std::uint32_t layer = spec.n_layers; layer-- > 0;) {
    const auto loaded = pass.load_layer(layer, weights);
    pass.backward_layer(*loaded, states[layer], gradient, [&](const GradientTile& tile) {
      Values& all = result.of[{"blk." + std::to_string(layer) + "." + std::string(tile.weight), tile.expert}];
      EXPECT_EQ(all.size(), tile.first_row * tile.in_features) << "tiles come in the order of their rows";
      EXPECT_EQ(tile.weights.size(), tile.gradient.size());
      all.insert(all.end(), tile.gradient.begin(), tile.gradient.end());
    });
  }
  return result;
}

class GradientOf : public testing::TestWithParam<NamedSpec> {};

TEST_P(GradientOf, equals_differences_of_the_loss) {
  const ModelSpec& spec = GetParam().spec;
  Weights weights(false);
  const std::vector<std::int32_t> ids = some_ids(140, spec.vocab_size);  // more than one block of queries
  const auto pass = make_forward_pass(spec);
  const Gradients gradients = backward(spec, *pass, std::cref(weights), ids);

  EXPECT_NEAR(gradients.loss, plain_loss(spec, weights, ids), 2e-6 * gradients.loss);
  const std::size_t dense = spec.n_experts > 0 && spec.shared_ffn == 0 ? 4 : 7;
  ASSERT_EQ(gradients.of.size(), dense * spec.n_layers + 3 * gradients.used.size());
  EXPECT_EQ(gradients.used.empty(), spec.n_experts == 0);
  const bool all =
      std::getenv("LLMQ_ALL") != nullptr;  // otherwise one of three weights of each tensor in turn
  std::size_t turn = 0;
  for (const auto& [key, values] : gradients.of) {
    const std::string& name = key.first;
    const std::size_t expert = key.second, first = expert * values.size();
    double mean = 0;
    for (const float value : values) mean += std::abs(static_cast<double>(value));
    mean /= static_cast<double>(values.size());
    EXPECT_GT(mean, 0) << name;
    const std::size_t indices[] = {0, values.size() / 3, values.size() - 1};
    const std::size_t chosen = indices[turn++ % 3];
    for (const std::size_t index : indices) {
      if (!all && index != chosen) continue;
      const float kept = weights.at(name, first + index);
      const auto loss_at = [&](float value) {
        weights.at(name, first + index) = value;
        return plain_loss(spec, weights, ids);
      };
      const float up = kept + 1e-5F, down = kept - 1e-5F;  // small: no token changes its experts
      const double difference =
          (loss_at(up) - loss_at(down)) / (static_cast<double>(up) - static_cast<double>(down));
      weights.at(name, first + index) = kept;
      EXPECT_NEAR(static_cast<double>(values[index]), difference, 2e-4 * mean + 1e-4 * std::abs(difference))
          << name << " " << expert << " " << index;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Architectures, GradientOf, testing::ValuesIn(small_specs()),
                         [](const auto& given) { return std::string(given.param.name); });

TEST(BackwardPass, bits_do_not_depend_on_other_threads) {
  const ModelSpec spec = small_spec();
  const Weights weights(false);
  const auto pass = make_forward_pass(spec);
  const std::vector<std::int32_t> ids = some_ids(100, spec.vocab_size);
  const Gradients alone = backward(spec, *pass, std::cref(weights), ids);
  Gradients one, other;
  // Weights are made on demand: both threads find them all.
  std::thread first([&] { one = backward(spec, *pass, std::cref(weights), ids); });
  std::thread second([&] { other = backward(spec, *pass, std::cref(weights), ids); });
  first.join();
  second.join();
  EXPECT_EQ(one.of, alone.of);
  EXPECT_EQ(other.of, alone.of);
  EXPECT_EQ(one.loss, alone.loss);
}

TEST(BackwardPass, two_tokens_have_one_loss) {
  const ModelSpec spec = small_spec();
  const Weights weights(false);
  const std::vector<std::int32_t> ids = {3, 7};
  const Gradients gradients = backward(spec, *make_forward_pass(spec), std::cref(weights), ids);
  EXPECT_NEAR(gradients.loss, plain_loss(spec, weights, ids), 2e-6 * gradients.loss);
}

TEST(ForwardPass, the_product_of_ffn_down_is_what_the_residual_gains) {
  const ModelSpec spec = small_spec();
  const Weights weights(false);
  const auto pass = make_forward_pass(spec);
  const auto layer = pass->load_layer(0, std::cref(weights));
  Values with = pseudo_random(10 * spec.hidden_size, 5, 1.0F);
  Values without = with;
  double largest = 0;
  pass->run_layer(*layer, with, {}, [&](std::span<const float> y, std::size_t out_features) {
    EXPECT_EQ(out_features, spec.hidden_size);
    EXPECT_EQ(y.size(), 10 * spec.hidden_size);
    for (const float value : y) largest = std::max(largest, std::abs(static_cast<double>(value)));
  });
  pass->run_layer(*layer, without, {});
  EXPECT_GT(largest, 0);
  EXPECT_EQ(with, without);  // looking changes nothing
}

}  // namespace
