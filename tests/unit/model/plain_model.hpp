// A small model of any architecture written down as directly as it can be: plain loops in double precision,
// weights that follow from their names. What forward and backward pass are judged by.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "llmq/model/spec.hpp"

namespace llmq::testing_support {
using Values = std::vector<float>;
using Doubles = std::vector<double>;

/// Grouped queries, heads that do not fill the hidden size, biases, llama3 rotation.
inline ModelSpec small_spec() {
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

/// Small models that have one or all of what sets architectures apart.
struct NamedSpec {
  const char* name;
  ModelSpec spec;
};
inline std::vector<NamedSpec> small_specs() {
  const auto change = [](auto set) {
    ModelSpec spec = small_spec();
    spec.n_layers = 3;
    spec.rope_scaling = RopeScaling::none;
    set(spec);
    return spec;
  };
  const auto windows = [](ModelSpec& spec) {
    spec.sliding_window = 37;
    spec.window_pattern = 2;
    spec.rope_theta_local = 50;
  };
  const auto caps = [](ModelSpec& spec) {
    spec.attention_softcap = 1.5F;
    spec.logit_softcap = 2.0F;
    spec.attention_scale = 0.5F;
  };
  const auto experts = [](ModelSpec& spec) {
    spec.n_experts = 5;
    spec.n_experts_used = 2;
    spec.expert_ffn = 24;
  };
  const auto yarn = [](ModelSpec& spec) {
    spec.rope_scaling = RopeScaling::yarn;
    spec.rope_factor = 4;
    spec.rope_original_context = 640;
    spec.rope_attention_factor = 1.3F;
  };
  return {{"experts", change(experts)},
          {"yarn", change(yarn)},
          {"every_second_layer_unrotated", change([](ModelSpec& spec) { spec.rotation_pattern = 2; })},
          {"norms_about_the_mean", change([](ModelSpec& spec) {
             spec.norm = Norm::layer;
             spec.rope_dims = 4;
           })},
          {"experts_and_a_shared_one", change([&](ModelSpec& spec) {
             experts(spec);
             spec.n_experts_used = 3;
             spec.shared_ffn = 16;
             spec.normed_shares = false;
           })},
          {"llama3", small_spec()},
          {"all_layers_windowed", change([](ModelSpec& spec) { spec.sliding_window = 50; })},
          {"alternating_windows", change(windows)},
          {"heads_normed", change([](ModelSpec& spec) { spec.qk_norm = QkNorm::head; })},
          {"soft_caps", change(caps)},
          {"norms_behind_products", change([](ModelSpec& spec) {
             spec.pre_norms = false;
             spec.post_norms = true;
             spec.qk_norm = QkNorm::token;
           })},
          {"everything", change([&](ModelSpec& spec) {
             windows(spec);
             caps(spec);
             spec.post_norms = true;
             spec.qk_norm = QkNorm::head;
             spec.activation = Activation::gelu_tanh;
             spec.embedding_scale = 3;
           })}};
}

inline Values pseudo_random(std::size_t count, std::uint64_t seed, float scale) {
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
  /// One value of a tensor that was asked for before.
  float& at(const std::string& name, std::size_t index) { return made_.at(name).at(index); }

 private:
  bool tied_;
  mutable std::map<std::string, Values> made_;
};

/// The architecture written down as directly as it can be.
class PlainModel {
 public:
  PlainModel(const ModelSpec& spec, const Weights& weights) : spec_(spec), weights_(weights) {}

  void layer(std::size_t index, std::vector<Doubles>& hidden) const {
    const std::string block = "blk." + std::to_string(index) + ".";
    const std::size_t dim = spec_.head_dim, window = spec_.window_of(static_cast<std::uint32_t>(index));
    const bool local = window != 0 && spec_.rope_theta_local > 0;
    const double scale = spec_.attention_scale > 0 ? static_cast<double>(spec_.attention_scale)
                                                   : 1 / std::sqrt(static_cast<double>(dim));
    const bool still = spec_.rotation_pattern != 0 && (index + 1) % spec_.rotation_pattern == 0;
    std::vector<Doubles> q, k, v;
    for (std::size_t t = 0; t < hidden.size(); ++t) {
      const std::size_t place = still ? 0 : t;  // a rotation by nothing
      const Doubles x = spec_.pre_norms ? norm(hidden[t], block + "attn_norm.weight") : hidden[t];
      q.push_back(
          rotated(normed_heads(linear(x, block + "attn_q", spec_.n_heads * dim), block + "attn_q_norm"),
                  place, local));
      k.push_back(
          rotated(normed_heads(linear(x, block + "attn_k", spec_.n_kv_heads * dim), block + "attn_k_norm"),
                  place, local));
      v.push_back(linear(x, block + "attn_v", spec_.n_kv_heads * dim));
    }
    for (std::size_t t = 0; t < hidden.size(); ++t) {
      const std::size_t first = window != 0 && t + 1 > window ? t + 1 - window : 0;
      Doubles attended;
      for (std::size_t head = 0; head < spec_.n_heads; ++head) {
        const std::size_t group = head / (spec_.n_heads / spec_.n_kv_heads);
        Doubles score(t + 1);
        double total = 0;
        for (std::size_t s = first; s <= t; ++s) {
          double dot = 0;
          for (std::size_t c = 0; c < dim; ++c) dot += q[t][head * dim + c] * k[s][group * dim + c];
          total += score[s] = std::exp(capped(dot * scale, spec_.attention_softcap));
        }
        for (std::size_t c = 0; c < dim; ++c) {
          double sum = 0;
          for (std::size_t s = first; s <= t; ++s) sum += score[s] / total * v[s][group * dim + c];
          attended.push_back(sum);
        }
      }
      Doubles y = linear(attended, block + "attn_output", spec_.hidden_size);
      if (spec_.post_norms) y = norm(y, block + "post_attention_norm.weight");
      add(hidden[t], y);
    }
    for (Doubles& row : hidden) {
      const Doubles x = spec_.pre_norms ? norm(row, block + "ffn_norm.weight") : row;
      Doubles y = spec_.n_experts > 0 ? experts(x, block) : mlp(x, block, "", spec_.intermediate_size);
      if (spec_.post_norms) y = norm(y, block + "post_ffw_norm.weight");
      add(row, y);
    }
  }

  Doubles logits(const Doubles& hidden, const std::string& matrix) const {
    Doubles y = product(norm(hidden, "output_norm.weight"),
                        weights_.get(matrix, spec_.vocab_size * hidden.size()), spec_.vocab_size);
    for (double& value : y) value = capped(value, spec_.logit_softcap);
    return y;
  }

 private:
  static double capped(double value, float cap) {
    return cap > 0 ? static_cast<double>(cap) * std::tanh(value / static_cast<double>(cap)) : value;
  }
  double activated(double gate) const {
    if (spec_.activation == Activation::silu) return gate / (1 + std::exp(-gate));
    return 0.5 * gate * (1 + std::tanh(std::sqrt(2 / M_PI) * (gate + 0.044715 * gate * gate * gate)));
  }
  Doubles mlp(const Doubles& x, const std::string& block, const std::string& end, std::size_t ffn) const {
    Doubles gate = linear(x, block + "ffn_gate" + end, ffn);
    const Doubles up = linear(x, block + "ffn_up" + end, ffn);
    for (std::size_t i = 0; i < gate.size(); ++i) gate[i] = activated(gate[i]) * up[i];
    return linear(gate, block + "ffn_down" + end, spec_.hidden_size);
  }
  /// Rows [expert x rows, (expert + 1) x rows) of the matrices of all experts.
  Doubles expert_product(const Doubles& x, const std::string& name, std::size_t expert,
                         std::size_t rows) const {
    const Values& all = weights_.get(name, spec_.n_experts * rows * x.size());
    const auto first = all.begin() + static_cast<std::ptrdiff_t>(expert * rows * x.size());
    return product(x, Values(first, first + static_cast<std::ptrdiff_t>(rows * x.size())), rows);
  }
  Doubles experts(const Doubles& x, const std::string& block) const {
    const Doubles logits =
        product(x, weights_.get(block + "ffn_gate_inp.weight", spec_.n_experts * x.size()), spec_.n_experts);
    std::vector<std::size_t> order(logits.size());
    for (std::size_t e = 0; e < order.size(); ++e) order[e] = e;
    std::sort(order.begin(), order.end(),
              [&](std::size_t a, std::size_t b) { return logits[a] > logits[b]; });
    double sum = 0;
    for (std::size_t i = 0; i < (spec_.normed_shares ? spec_.n_experts_used : order.size()); ++i)
      sum += std::exp(logits[order[i]]);
    Doubles y(x.size(), 0.0);
    for (std::size_t i = 0; i < spec_.n_experts_used; ++i) {
      const std::size_t e = order[i];
      Doubles gate = expert_product(x, block + "ffn_gate_exps.weight", e, spec_.expert_ffn);
      const Doubles up = expert_product(x, block + "ffn_up_exps.weight", e, spec_.expert_ffn);
      for (std::size_t k = 0; k < gate.size(); ++k) gate[k] = activated(gate[k]) * up[k];
      const Doubles made = expert_product(gate, block + "ffn_down_exps.weight", e, spec_.hidden_size);
      for (std::size_t k = 0; k < y.size(); ++k) y[k] += std::exp(logits[e]) / sum * made[k];
    }
    if (spec_.shared_ffn == 0) return y;
    const Doubles shared = mlp(x, block, "_shexp", spec_.shared_ffn);
    const double gate = product(x, weights_.get(block + "ffn_gate_inp_shexp.weight", x.size()), 1)[0];
    for (std::size_t k = 0; k < y.size(); ++k) y[k] += shared[k] / (1 + std::exp(-gate));
    return y;
  }
  Doubles normed_heads(Doubles x, const std::string& name) const {
    if (spec_.qk_norm == QkNorm::none) return x;
    if (spec_.qk_norm == QkNorm::token) return norm(x, name + ".weight");
    const auto dim = static_cast<std::ptrdiff_t>(spec_.head_dim);
    for (auto head = x.begin(); head != x.end(); head += dim) {
      const Doubles one = norm(Doubles(head, head + dim), name + ".weight");
      std::copy(one.begin(), one.end(), head);
    }
    return x;
  }
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
    const auto mean_of = [&](const auto& term) {
      double sum = 0;
      for (const double value : x) sum += term(value);
      return sum / static_cast<double>(x.size());
    };
    const bool about_mean = spec_.norm == Norm::layer;
    const double middle = about_mean ? mean_of([](double value) { return value; }) : 0;
    const double squares = mean_of([&](double value) { return (value - middle) * (value - middle); });
    const double scale = 1 / std::sqrt(squares + static_cast<double>(spec_.rms_norm_eps));
    Doubles y(x.size());
    for (std::size_t i = 0; i < x.size(); ++i)
      y[i] = (x[i] - middle) * scale * static_cast<double>(weight[i]);
    if (!about_mean) return y;
    const Values& bias = weights_.get(name.substr(0, name.rfind('.')) + ".bias", x.size());
    for (std::size_t i = 0; i < x.size(); ++i) y[i] += static_cast<double>(bias[i]);
    return y;
  }
  /// Frequencies by the llama3 rule: long waves slowed by the factor, short ones kept, between them a ramp.
  double frequency(std::size_t c, bool local) const {
    const double theta = local ? spec_.rope_theta_local : spec_.rope_theta;
    const double plain = std::pow(theta, -2.0 * static_cast<double>(c) / spec_.rotated_dims());
    if (spec_.rope_scaling == RopeScaling::yarn) return slowed(plain, c);
    if (spec_.rope_scaling != RopeScaling::llama3) return plain;
    const double turns = spec_.rope_original_context * plain / (2 * M_PI);
    if (turns < spec_.rope_low_freq_factor) return plain / spec_.rope_factor;
    if (turns > spec_.rope_high_freq_factor) return plain;
    const double smooth =
        (turns - spec_.rope_low_freq_factor) / (spec_.rope_high_freq_factor - spec_.rope_low_freq_factor);
    return (1 - smooth) * plain / spec_.rope_factor + smooth * plain;
  }
  /// YaRN: kept up to the last c of many turns, slowed by the factor from the first c of few; a line between
  /// them.
  double slowed(double plain, std::size_t c) const {
    const auto turns = [&](std::size_t k) {
      const double frequency =
          std::pow(spec_.rope_theta, -2.0 * static_cast<double>(k) / spec_.rotated_dims());
      return spec_.rope_original_context * frequency / (2 * M_PI);
    };
    std::size_t first = 0, last = 0;
    while (turns(first + 1) >= 32) ++first;
    while (turns(last) > 1) ++last;
    const double way = c <= first  ? 0
                       : c >= last ? 1
                                   : static_cast<double>(c - first) / static_cast<double>(last - first);
    return plain * (1 - way + way / spec_.rope_factor);
  }
  Doubles rotated(Doubles x, std::size_t position, bool local) const {
    const double magnitude =
        spec_.rope_scaling == RopeScaling::yarn
            ? static_cast<double>(spec_.rope_attention_factor) * (0.1 * std::log(spec_.rope_factor) + 1)
            : 1;
    const std::size_t half = spec_.rotated_dims() / 2;
    for (std::size_t head = 0; head < x.size() / spec_.head_dim; ++head) {
      for (std::size_t c = 0; c < half; ++c) {
        const double angle = static_cast<double>(position) * frequency(c, local);
        double& a = x[head * spec_.head_dim + c];
        double& b = x[head * spec_.head_dim + half + c];
        const double turned = a * std::cos(angle) - b * std::sin(angle);
        b = magnitude * (b * std::cos(angle) + a * std::sin(angle));
        a = magnitude * turned;
      }
    }
    return x;
  }

  const ModelSpec& spec_;
  const Weights& weights_;
};

inline std::vector<std::int32_t> some_ids(std::size_t count, std::uint32_t vocabulary) {
  std::vector<std::int32_t> ids(count);
  for (std::size_t t = 0; t < count; ++t)
    ids[t] = static_cast<std::int32_t>((t * t * 7 + t * 3 + 1) % vocabulary);
  return ids;
}

}  // namespace llmq::testing_support
