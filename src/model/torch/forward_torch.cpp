// The Llama family's forward pass. q, k, v and gate, up are fused into one product each.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstring>
#include <dlfcn.h>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/model/forward.hpp"

#include "model/torch/attention.hpp"
#include "model/torch/elementwise.hpp"

namespace llmq::torch_pass {
namespace {

at::Tensor matrix(const float* data, std::size_t rows, std::size_t columns) {
  return at::from_blob(const_cast<float*>(data),
                       {static_cast<std::int64_t>(rows), static_cast<std::int64_t>(columns)},
                       at::TensorOptions().dtype(at::kFloat));
}

/// Rows of f32 weights, [out_features, in_features], with optional bias.
struct Linear {
  std::vector<float> weight;
  std::vector<float> bias;
  std::size_t out_features = 0;
  std::size_t in_features = 0;

  /// y [tokens, out_features] = x [tokens, in_features] W^T + b
  void apply(const float* x, std::size_t tokens, float* y) const {
    at::Tensor result = matrix(y, tokens, out_features);
    at::mm_out(result, matrix(x, tokens, in_features), matrix(weight.data(), out_features, in_features).t());
    add_bias(y, bias.empty() ? nullptr : bias.data(), tokens, out_features, out_features);
  }
  std::uint64_t bytes() const noexcept { return 4 * (weight.size() + bias.size()); }
};

[[noreturn]] void missing(std::string_view name) {
  throw Error(ExitCode::validation, fmt::format("tensor {} is missing", name),
              "The checkpoint is incomplete; fetch it again");
}

std::vector<float> load_vector(const WeightLoader& weights, const std::string& name, std::size_t count) {
  std::vector<float> values(count);
  if (!weights(name, values)) missing(name);
  return values;
}

struct Part {
  std::string name;  // without ".weight"
  std::size_t rows;
};

/// Parts stacked along the output, e.g. q, k and v.
Linear load_linear(const WeightLoader& weights, const std::vector<Part>& parts, std::size_t in_features) {
  Linear linear;
  linear.in_features = in_features;
  for (const Part& part : parts) linear.out_features += part.rows;
  linear.weight.resize(linear.out_features * in_features);
  std::vector<float> bias(linear.out_features, 0.0F);
  bool has_bias = false;
  std::size_t row = 0;
  for (const Part& part : parts) {
    if (!weights(part.name + ".weight",
                 std::span(linear.weight).subspan(row * in_features, part.rows * in_features))) {
      missing(part.name + ".weight");
    }
    has_bias = weights(part.name + ".bias", std::span(bias).subspan(row, part.rows)) || has_bias;
    row += part.rows;
  }
  if (has_bias) linear.bias = std::move(bias);
  return linear;
}

struct Layer final : LayerWeights {
  std::vector<float> attention_norm, ffn_norm;
  Linear qkv, attention_output, gate_up, down;
  std::uint64_t bytes() const noexcept override {
    return 4 * (attention_norm.size() + ffn_norm.size()) + qkv.bytes() + attention_output.bytes() +
           gate_up.bytes() + down.bytes();
  }
};

struct Embedding final : LayerWeights {
  std::vector<float> table;
  std::uint64_t bytes() const noexcept override { return 4 * table.size(); }
};

struct Head final : LayerWeights {
  std::vector<float> norm;
  Linear output;
  std::uint64_t bytes() const noexcept override { return 4 * norm.size() + output.bytes(); }
};

/// Buffers of one thread, grown once and kept.
struct Scratch {
  std::vector<float> normed, qkv, attended, projected, gate_up, activated, scores;
};
Scratch& thread_scratch() {
  thread_local Scratch scratch;
  return scratch;
}

/// One BLAS thread a call: threads of the program work on samples, and product bits depend on the thread
/// count.
std::string bind_blas_to_one_thread() {
  at::set_num_threads(1);
  const auto set_threads = reinterpret_cast<void (*)(int)>(::dlsym(RTLD_DEFAULT, "openblas_set_num_threads"));
  const auto config = reinterpret_cast<char* (*)()>(::dlsym(RTLD_DEFAULT, "openblas_get_config"));
  if (set_threads == nullptr) return "a BLAS that is not OpenBLAS (expect it to be slow)";
  set_threads(1);
  return config == nullptr ? "OpenBLAS" : config();
}

class LlamaPass final : public ForwardPass {
 public:
  explicit LlamaPass(const ModelSpec& spec)
      : spec_(spec),
        rope_(inverse_frequencies(spec), spec.context_length),
        blas_(bind_blas_to_one_thread()) {}

  std::string description() const override {
    return fmt::format("libtorch {} with {}", LLMQ_TORCH_VERSION, blas_);
  }

  std::unique_ptr<LayerWeights> load_layer(std::uint32_t layer, const WeightLoader& weights) const override {
    const std::size_t hidden = spec_.hidden_size;
    const std::size_t head = spec_.head_dim;
    const auto name = [&](const char* part) { return fmt::format("blk.{}.{}", layer, part); };
    auto loaded = std::make_unique<Layer>();
    loaded->attention_norm = load_vector(weights, name("attn_norm.weight"), hidden);
    loaded->qkv = load_linear(weights,
                              {{name("attn_q"), spec_.n_heads * head},
                               {name("attn_k"), spec_.n_kv_heads * head},
                               {name("attn_v"), spec_.n_kv_heads * head}},
                              hidden);
    loaded->attention_output = load_linear(weights, {{name("attn_output"), hidden}}, spec_.n_heads * head);
    loaded->ffn_norm = load_vector(weights, name("ffn_norm.weight"), hidden);
    loaded->gate_up = load_linear(
        weights, {{name("ffn_gate"), spec_.intermediate_size}, {name("ffn_up"), spec_.intermediate_size}},
        hidden);
    loaded->down = load_linear(weights, {{name("ffn_down"), hidden}}, spec_.intermediate_size);
    return loaded;
  }

  std::unique_ptr<LayerWeights> load_embedding(const WeightLoader& weights) const override {
    auto loaded = std::make_unique<Embedding>();
    loaded->table =
        load_vector(weights, "token_embd.weight", std::size_t{spec_.vocab_size} * spec_.hidden_size);
    return loaded;
  }

  std::unique_ptr<LayerWeights> load_head(const WeightLoader& weights) const override {
    auto loaded = std::make_unique<Head>();
    loaded->norm = load_vector(weights, "output_norm.weight", spec_.hidden_size);
    loaded->output.out_features = spec_.vocab_size;
    loaded->output.in_features = spec_.hidden_size;
    loaded->output.weight.resize(std::size_t{spec_.vocab_size} * spec_.hidden_size);
    if (!weights("output.weight", loaded->output.weight) &&
        !weights("token_embd.weight", loaded->output.weight)) {
      missing("token_embd.weight");
    }
    return loaded;
  }

  void embed(const LayerWeights& embedding, std::span<const std::int32_t> ids,
             std::span<float> hidden) const override {
    const auto& table = static_cast<const Embedding&>(embedding).table;
    const std::size_t width = spec_.hidden_size;
    for (std::size_t t = 0; t < ids.size(); ++t) {
      std::memcpy(hidden.data() + t * width, table.data() + static_cast<std::size_t>(ids[t]) * width,
                  width * sizeof(float));
    }
  }

  void run_layer(const LayerWeights& weights, std::span<float> hidden,
                 const MatmulObserver& observer) const override {
    const at::NoGradGuard no_grad;
    const auto& layer = static_cast<const Layer&>(weights);
    Scratch& scratch = thread_scratch();
    const std::size_t width = spec_.hidden_size;
    const std::size_t tokens = hidden.size() / width;
    if (tokens > spec_.context_length) throw InternalError("sample is longer than the model's context");
    const auto watch = [&](MatmulInput input, const std::vector<float>& x, std::size_t columns) {
      if (observer) observer(input, std::span<const float>(x.data(), tokens * columns), columns);
    };
    scratch.normed.resize(tokens * width);
    scratch.projected.resize(tokens * width);
    rms_norm(hidden.data(), layer.attention_norm.data(), spec_.rms_norm_eps, tokens, width,
             scratch.normed.data());
    watch(MatmulInput::attention, scratch.normed, width);
    attend(layer, tokens, scratch);
    watch(MatmulInput::attention_output, scratch.attended, std::size_t{spec_.n_heads} * spec_.head_dim);
    layer.attention_output.apply(scratch.attended.data(), tokens, scratch.projected.data());
    add_rows(hidden.data(), scratch.projected.data(), hidden.size());

    rms_norm(hidden.data(), layer.ffn_norm.data(), spec_.rms_norm_eps, tokens, width, scratch.normed.data());
    watch(MatmulInput::ffn, scratch.normed, width);
    const std::size_t ffn = spec_.intermediate_size;
    scratch.gate_up.resize(tokens * 2 * ffn);
    scratch.activated.resize(tokens * ffn);
    layer.gate_up.apply(scratch.normed.data(), tokens, scratch.gate_up.data());
    swiglu(scratch.gate_up.data(), tokens, ffn, scratch.activated.data());
    watch(MatmulInput::ffn_down, scratch.activated, ffn);
    layer.down.apply(scratch.activated.data(), tokens, scratch.projected.data());
    add_rows(hidden.data(), scratch.projected.data(), hidden.size());
  }

  void run_head(const LayerWeights& weights, std::span<const float> hidden,
                std::span<float> logits) const override {
    const at::NoGradGuard no_grad;
    const auto& head = static_cast<const Head&>(weights);
    Scratch& scratch = thread_scratch();
    const std::size_t tokens = hidden.size() / spec_.hidden_size;
    scratch.normed.resize(hidden.size());
    rms_norm(hidden.data(), head.norm.data(), spec_.rms_norm_eps, tokens, spec_.hidden_size,
             scratch.normed.data());
    head.output.apply(scratch.normed.data(), tokens, logits.data());
  }

  std::uint64_t scratch_bytes(std::size_t tokens) const noexcept override {
    const std::uint64_t attention =
        (std::uint64_t{2} * spec_.n_heads + 2 * spec_.n_kv_heads) * spec_.head_dim;
    return 4 * tokens *
           (2 * std::uint64_t{spec_.hidden_size} + attention + 3 * std::uint64_t{spec_.intermediate_size} +
            128);
  }

 private:
  static std::vector<float> inverse_frequencies(const ModelSpec& spec) {
    const std::vector<float> factors = spec.rope_freq_factors();
    std::vector<float> inverse(spec.head_dim / 2);
    for (std::size_t c = 0; c < inverse.size(); ++c) {
      double frequency = std::pow(spec.rope_theta, -2.0 * static_cast<double>(c) / spec.head_dim);
      if (spec.rope_scaling == RopeScaling::linear) frequency /= spec.rope_factor;
      if (!factors.empty()) frequency /= static_cast<double>(factors[c]);
      inverse[c] = static_cast<float>(frequency);
    }
    return inverse;
  }

  void attend(const Layer& layer, std::size_t tokens, Scratch& scratch) const {
    const AttentionShape shape{tokens, spec_.n_heads, spec_.n_kv_heads, spec_.head_dim};
    const std::size_t stride = layer.qkv.out_features;
    scratch.qkv.resize(tokens * stride);
    scratch.attended.resize(tokens * shape.heads * shape.head_dim);
    layer.qkv.apply(scratch.normed.data(), tokens, scratch.qkv.data());
    rope_.rotate(scratch.qkv.data(), shape.heads + shape.kv_heads, tokens, stride);
    attention(shape, scratch.qkv.data(), scratch.attended.data(), scratch.scores);
  }

  ModelSpec spec_;
  Rope rope_;
  std::string blas_;
};

}  // namespace
}  // namespace llmq::torch_pass

extern "C" __attribute__((visibility("default"))) llmq::ForwardPass* llmq_make_forward_pass(
    const llmq::ModelSpec* spec) {
  return new llmq::torch_pass::LlamaPass(*spec);
}
