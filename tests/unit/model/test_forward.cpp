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

namespace {
using namespace llmq;
using Values = std::vector<float>;
using Doubles = std::vector<double>;

/// Grouped queries, heads that do not fill the hidden size, biases, llama3 rotation.
ModelSpec small_spec() {
  ModelSpec spec;
  spec.architecture = "llama";
  spec.class_name = "LlamaForCausalLM";
  spec.hidden_size = 40;
  spec.intermediate_size = 56;
  spec.n_layers = 2;
  spec.n_heads = 6;
  spec.n_kv_heads = 2;
  spec.head_dim = 8;
  spec.explicit_head_dim = true;
  spec.vocab_size = 50;
  spec.context_length = 256;
  spec.rope_theta = 500.0;
  spec.rope_scaling = RopeScaling::llama3;
  spec.rope_factor = 8;
  spec.rope_original_context = 64;
  spec.attention_bias = spec.mlp_bias = true;
  return spec;
}

Values pseudo_random(std::size_t count, std::uint64_t seed, float scale) {
  Values values(count);
  std::uint64_t state = seed * 0x9E3779B97F4A7C15ULL + 1;
  for (float& value : values) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    value = scale * (static_cast<float>(state >> 40) / 8388608.0F - 1.0F);
  }
  return values;
}

/// Every tensor asked for exists; its values follow from its name.
class Weights {
 public:
  explicit Weights(bool tied) : tied_(tied) {}
  bool operator()(std::string_view name, std::span<float> out) const {
    if (tied_ && name == "output.weight") return false;
    const Values& values = get(std::string(name), out.size());
    std::copy(values.begin(), values.end(), out.begin());
    return true;
  }
  const Values& get(const std::string& name, std::size_t count) const {
    auto [at, fresh] = made_.try_emplace(name);
    if (fresh) {
      const bool norm = name.find("norm") != std::string::npos;
      at->second = pseudo_random(count, std::hash<std::string>{}(name), norm ? 0.5F : 0.3F);
      if (norm) {
        for (float& value : at->second) value += 1.0F;
      }
    }
    EXPECT_EQ(at->second.size(), count) << name;
    return at->second;
  }

 private:
  bool tied_;
  mutable std::map<std::string, Values> made_;
};

/// The architecture written down as directly as it can be.
class PlainLlama {
 public:
  PlainLlama(const ModelSpec& spec, const Weights& weights) : spec_(spec), weights_(weights) {}

  void layer(std::size_t index, std::vector<Doubles>& hidden) const {
    const std::string block = "blk." + std::to_string(index) + ".";
    const std::size_t dim = spec_.head_dim;
    std::vector<Doubles> q, k, v;
    for (std::size_t t = 0; t < hidden.size(); ++t) {
      const Doubles x = norm(hidden[t], block + "attn_norm.weight");
      q.push_back(rotated(linear(x, block + "attn_q", spec_.n_heads * dim), t));
      k.push_back(rotated(linear(x, block + "attn_k", spec_.n_kv_heads * dim), t));
      v.push_back(linear(x, block + "attn_v", spec_.n_kv_heads * dim));
    }
    for (std::size_t t = 0; t < hidden.size(); ++t) {
      Doubles attended;
      for (std::size_t head = 0; head < spec_.n_heads; ++head) {
        const std::size_t group = head / (spec_.n_heads / spec_.n_kv_heads);
        Doubles score(t + 1);
        double total = 0;
        for (std::size_t s = 0; s <= t; ++s) {
          double dot = 0;
          for (std::size_t c = 0; c < dim; ++c) dot += q[t][head * dim + c] * k[s][group * dim + c];
          total += score[s] = std::exp(dot / std::sqrt(static_cast<double>(dim)));
        }
        for (std::size_t c = 0; c < dim; ++c) {
          double sum = 0;
          for (std::size_t s = 0; s <= t; ++s) sum += score[s] / total * v[s][group * dim + c];
          attended.push_back(sum);
        }
      }
      add(hidden[t], linear(attended, block + "attn_output", spec_.hidden_size));
    }
    for (Doubles& row : hidden) {
      const Doubles x = norm(row, block + "ffn_norm.weight");
      Doubles gate = linear(x, block + "ffn_gate", spec_.intermediate_size);
      const Doubles up = linear(x, block + "ffn_up", spec_.intermediate_size);
      for (std::size_t i = 0; i < gate.size(); ++i) gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
      add(row, linear(gate, block + "ffn_down", spec_.hidden_size));
    }
  }

  Doubles logits(const Doubles& hidden, const std::string& matrix) const {
    return product(norm(hidden, "output_norm.weight"), weights_.get(matrix, spec_.vocab_size * hidden.size()),
                   spec_.vocab_size);
  }

 private:
  static void add(Doubles& x, const Doubles& y) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += y[i];
  }
  static Doubles product(const Doubles& x, const Values& matrix, std::size_t rows) {
    Doubles y(rows, 0.0);
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < x.size(); ++j) y[i] += static_cast<double>(matrix[i * x.size() + j]) * x[j];
    }
    return y;
  }
  Doubles linear(const Doubles& x, const std::string& name, std::size_t rows) const {
    Doubles y = product(x, weights_.get(name + ".weight", rows * x.size()), rows);
    const Values& bias = weights_.get(name + ".bias", rows);
    for (std::size_t i = 0; i < rows; ++i) y[i] += static_cast<double>(bias[i]);
    return y;
  }
  Doubles norm(const Doubles& x, const std::string& name) const {
    const Values& weight = weights_.get(name, x.size());
    double squares = 0;
    for (const double value : x) squares += value * value;
    const double scale =
        1 / std::sqrt(squares / static_cast<double>(x.size()) + static_cast<double>(spec_.rms_norm_eps));
    Doubles y(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = x[i] * scale * static_cast<double>(weight[i]);
    return y;
  }
  /// Frequencies by the llama3 rule: long waves slowed by the factor, short ones kept, between them a ramp.
  double frequency(std::size_t c) const {
    const double plain = std::pow(spec_.rope_theta, -2.0 * static_cast<double>(c) / spec_.head_dim);
    const double turns = spec_.rope_original_context * plain / (2 * M_PI);
    if (turns < spec_.rope_low_freq_factor) return plain / spec_.rope_factor;
    if (turns > spec_.rope_high_freq_factor) return plain;
    const double smooth =
        (turns - spec_.rope_low_freq_factor) / (spec_.rope_high_freq_factor - spec_.rope_low_freq_factor);
    return (1 - smooth) * plain / spec_.rope_factor + smooth * plain;
  }
  Doubles rotated(Doubles x, std::size_t position) const {
    const std::size_t half = spec_.head_dim / 2;
    for (std::size_t head = 0; head < x.size() / spec_.head_dim; ++head) {
      for (std::size_t c = 0; c < half; ++c) {
        const double angle = static_cast<double>(position) * frequency(c);
        double& a = x[head * spec_.head_dim + c];
        double& b = x[head * spec_.head_dim + half + c];
        const double turned = a * std::cos(angle) - b * std::sin(angle);
        b = b * std::cos(angle) + a * std::sin(angle);
        a = turned;
      }
    }
    return x;
  }

  const ModelSpec& spec_;
  const Weights& weights_;
};

std::vector<std::int32_t> some_ids(std::size_t count, std::uint32_t vocabulary) {
  std::vector<std::int32_t> ids(count);
  for (std::size_t t = 0; t < count; ++t)
    ids[t] = static_cast<std::int32_t>((t * t * 7 + t * 3 + 1) % vocabulary);
  return ids;
}

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
  const ModelSpec spec = small_spec();
  for (const bool tied : {false, true}) {
    const Weights weights(tied);
    const auto pass = make_forward_pass(spec);
    const PlainLlama plain(spec, weights);
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
  pass->run_layer(*pass->load_layer(0, std::cref(weights)), hidden,
                  [&](MatmulInput input, std::span<const float> x, std::size_t in_features) {
                    EXPECT_EQ(x.size(), 10 * in_features);
                    seen[input] = in_features;
                  });
  const std::map<MatmulInput, std::size_t> wanted{{MatmulInput::attention, 40},
                                                  {MatmulInput::attention_output, 48},
                                                  {MatmulInput::ffn, 40},
                                                  {MatmulInput::ffn_down, 56}};
  EXPECT_EQ(seen, wanted);
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

    pass->run_layer(*layer, hidden, [&](MatmulInput input, std::span<const float> x, std::size_t) {
      sound[input] = std::all_of(x.begin(), x.end(), [](float value) { return std::isfinite(value); });
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
