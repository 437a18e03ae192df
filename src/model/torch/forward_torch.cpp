// The Llama family's forward pass. q, k, v and gate, up are fused into one product each.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/model/forward.hpp"

#include "model/torch/attention.hpp"
#include "model/torch/elementwise.hpp"
#include "model/torch/elementwise_backward.hpp"
#include "model/torch/extend.hpp"
#include "model/torch/head_loss.hpp"
#include "model/torch/layer.hpp"
#include "model/torch/layer_backward.hpp"
#include "model/torch/matmul.hpp"
#include "model/torch/rope.hpp"
#include "model/torch/scratch.hpp"
#include "model/torch/stage_clock.hpp"

namespace llmq::torch_pass {
namespace {

/// libtorch's own threads stay out: threads of the program work on samples.
std::string bind_to_one_thread() {
  at::set_num_threads(1);
  return open_blas();
}

class LlamaPass final : public ForwardPass {
 public:
  explicit LlamaPass(const ModelSpec& spec)
      : spec_(spec), rope_(inverse_frequencies(spec), spec.context_length), blas_(bind_to_one_thread()) {}

  std::string description() const override {
    return fmt::format("libtorch {} with {}", LLMQ_TORCH_VERSION, blas_);
  }

  std::unique_ptr<LayerWeights> load_layer(std::uint32_t layer, const WeightLoader& weights,
                                           const CodeLoader& codes) const override {
    const std::size_t hidden = spec_.hidden_size;
    const std::size_t head = spec_.head_dim;
    const auto name = [&](const char* part) { return fmt::format("blk.{}.{}", layer, part); };
    auto loaded = std::make_unique<Layer>();
    loaded->attention_norm = load_vector(weights, name("attn_norm.weight"), hidden);
    loaded->qkv = load_linear(weights, codes,
                              {{name("attn_q"), spec_.n_heads * head},
                               {name("attn_k"), spec_.n_kv_heads * head},
                               {name("attn_v"), spec_.n_kv_heads * head}},
                              hidden);
    loaded->attention_output =
        load_linear(weights, codes, {{name("attn_output"), hidden}}, spec_.n_heads * head);
    loaded->ffn_norm = load_vector(weights, name("ffn_norm.weight"), hidden);
    loaded->gate_up = load_linear(
        weights, codes,
        {{name("ffn_gate"), spec_.intermediate_size}, {name("ffn_up"), spec_.intermediate_size}}, hidden);
    loaded->down = load_linear(weights, codes, {{name("ffn_down"), hidden}}, spec_.intermediate_size);
    return loaded;
  }

  std::unique_ptr<LayerWeights> load_embedding(const WeightLoader& weights) const override {
    auto loaded = std::make_unique<Embedding>();
    loaded->table = Values(std::size_t{spec_.vocab_size} * spec_.hidden_size);
    if (!weights("token_embd.weight", loaded->table.all())) missing_tensor("token_embd.weight");
    return loaded;
  }

  std::unique_ptr<LayerWeights> load_head(const WeightLoader& weights) const override {
    auto loaded = std::make_unique<Head>();
    loaded->norm = load_vector(weights, "output_norm.weight", spec_.hidden_size);
    loaded->output.out_features = spec_.vocab_size;
    loaded->output.in_features = spec_.hidden_size;
    loaded->output.weight = Values(std::size_t{spec_.vocab_size} * spec_.hidden_size);
    if (!weights("output.weight", loaded->output.weight.all()) &&
        !weights("token_embd.weight", loaded->output.weight.all())) {
      missing_tensor("token_embd.weight");
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

  void run_layer(const LayerWeights& weights, std::span<float> hidden, const MatmulObserver& observer,
                 const ProductObserver& down_product) const override {
    const auto& layer = static_cast<const Layer&>(weights);
    const ScratchPool::Lease lease(scratch_);
    Scratch& scratch = *lease;
    StageClock clock(stages_);
    const std::size_t width = spec_.hidden_size;
    const std::size_t ffn = spec_.intermediate_size;
    const std::size_t tokens = hidden.size() / width;
    if (tokens > spec_.context_length) throw InternalError("sample is longer than the model's context");
    const AttentionShape shape = attention_shape(tokens);
    const auto watch = [&](MatmulInput input, const std::vector<float>& x, std::size_t columns) {
      if (observer) observer(input, std::span<const float>(x.data(), tokens * columns), columns);
      clock.skip();
    };
    scratch.normed.resize(tokens * width);
    scratch.qkv.resize(tokens * shape.qkv_width());
    scratch.attended.resize(tokens * shape.heads * shape.head_dim);
    scratch.gate_up.resize(tokens * 2 * ffn);
    scratch.activated.resize(tokens * ffn);

    rms_norm(hidden.data(), layer.attention_norm.data(), spec_.rms_norm_eps, tokens, width,
             scratch.normed.data());
    clock.elementwise();
    watch(MatmulInput::attention, scratch.normed, width);
    layer.qkv.apply(scratch.normed.data(), tokens, scratch.qkv.data());
    clock.matmul();
    attention(shape, rope_, scratch.qkv.data(), scratch.attended.data(), scratch.attention);
    clock.attention();
    watch(MatmulInput::attention_output, scratch.attended, shape.heads * shape.head_dim);
    layer.attention_output.add_to(scratch.attended.data(), tokens, hidden.data());
    clock.matmul();

    rms_norm(hidden.data(), layer.ffn_norm.data(), spec_.rms_norm_eps, tokens, width, scratch.normed.data());
    clock.elementwise();
    watch(MatmulInput::ffn, scratch.normed, width);
    layer.gate_up.apply(scratch.normed.data(), tokens, scratch.gate_up.data());
    clock.matmul();
    swiglu(scratch.gate_up.data(), tokens, ffn, scratch.activated.data());
    clock.elementwise();
    watch(MatmulInput::ffn_down, scratch.activated, ffn);
    if (down_product) {
      layer.down.apply(scratch.activated.data(), tokens, scratch.normed.data());
      down_product({scratch.normed.data(), tokens * width}, width);
    }
    layer.down.add_to(scratch.activated.data(), tokens, hidden.data());
    clock.matmul();
  }

  void extend_layer(const LayerWeights& weights, std::span<const SequenceRows> sequences,
                    std::span<float> hidden, std::size_t threads) const override {
    extend_rows(extend_shape(), static_cast<const Layer&>(weights), rope_, sequences, hidden.data(), threads,
                scratch_);
  }

  void extend_head(const LayerWeights& weights, std::span<const float> hidden, std::span<float> logits,
                   std::size_t threads) const override {
    const auto& head = static_cast<const Head&>(weights);
    const ScratchPool::Lease lease(scratch_);
    extend_product(head.output, final_norm(head, hidden, *lease), hidden.size() / spec_.hidden_size,
                   logits.data(), Product::replace, threads);
  }

  std::uint64_t extend_scratch_bytes(std::size_t tokens, std::size_t threads) const noexcept override {
    return 4 * extend_scratch_values(extend_shape(), tokens, threads);
  }

  void backward_layer(const LayerWeights& weights, std::span<const float> input, std::span<float> gradient,
                      const GradientObserver& observer) const override {
    const auto& layer = static_cast<const Layer&>(weights);
    if (layer.qkv.codes || layer.attention_output.codes || layer.gate_up.codes || layer.down.codes)
      throw InternalError("a layer of 8-bit codes cannot run backward");
    const ScratchPool::Lease lease(scratch_);
    const LayerShape shape{attention_shape(input.size() / spec_.hidden_size), spec_.hidden_size,
                           spec_.intermediate_size, spec_.rms_norm_eps};
    layer_backward(shape, layer, rope_, input.data(), gradient.data(), observer, *lease, stages_);
  }

  std::unique_ptr<LayerWeights> load_head_part(std::size_t first, std::size_t count,
                                               const RowLoader& rows) const override {
    auto loaded = std::make_unique<Head>();
    loaded->norm.resize(spec_.hidden_size);
    if (!rows("output_norm.weight", 0, loaded->norm)) missing_tensor("output_norm.weight");
    loaded->first_token = first;
    loaded->output.out_features = count;
    loaded->output.in_features = spec_.hidden_size;
    loaded->output.weight = Values(count * spec_.hidden_size);
    if (!rows("output.weight", first, loaded->output.weight.all()) &&
        !rows("token_embd.weight", first, loaded->output.weight.all())) {
      missing_tensor("token_embd.weight");
    }
    return loaded;
  }

  void head_forward(const LayerWeights& part, std::span<const std::int32_t> ids,
                    std::span<const float> hidden, HeadProgress& progress) const override {
    const auto& head = static_cast<const Head&>(part);
    const ScratchPool::Lease lease(scratch_);
    StageClock clock(stages_);
    take_logits({head.output, head.first_token}, ids, final_norm(head, hidden, *lease), progress,
                (*lease).logits);
    clock.matmul();
  }

  void head_backward(const LayerWeights& part, std::span<const std::int32_t> ids,
                     std::span<const float> hidden, HeadProgress& progress) const override {
    const auto& head = static_cast<const Head&>(part);
    const ScratchPool::Lease lease(scratch_);
    StageClock clock(stages_);
    add_gradient({head.output, head.first_token}, ids, final_norm(head, hidden, *lease), progress,
                 (*lease).logits);
    clock.matmul();
  }

  double finish_head(const LayerWeights& part, std::span<float> hidden,
                     const HeadProgress& progress) const override {
    const auto& head = static_cast<const Head&>(part);
    const ScratchPool::Lease lease(scratch_);
    std::vector<float>& before = (*lease).middle;
    before.assign(hidden.begin(), hidden.end());
    std::fill(hidden.begin(), hidden.end(), 0.0F);
    rms_norm_backward(before.data(), head.norm.data(), spec_.rms_norm_eps, progress.d_normed.data(),
                      hidden.size() / spec_.hidden_size, spec_.hidden_size, hidden.data());
    return mean_loss(progress);
  }

  void run_head(const LayerWeights& weights, std::span<const float> hidden,
                std::span<float> logits) const override {
    const auto& head = static_cast<const Head&>(weights);
    const ScratchPool::Lease lease(scratch_);
    head.output.apply(final_norm(head, hidden, *lease), hidden.size() / spec_.hidden_size, logits.data());
  }

  std::uint64_t scratch_bytes(std::size_t tokens) const noexcept override {
    const AttentionShape shape = attention_shape(tokens);
    const std::uint64_t row = spec_.hidden_size + shape.qkv_width() + shape.heads * shape.head_dim +
                              3 * std::uint64_t{spec_.intermediate_size};
    return 4 * (tokens * row + scratch_values(shape));
  }

  std::uint64_t backward_scratch_bytes(std::size_t tokens) const noexcept override {
    const AttentionShape shape = attention_shape(tokens);
    const std::uint64_t width = spec_.hidden_size;
    const std::uint64_t row = 3 * width + shape.qkv_width() + shape.heads * shape.head_dim +
                              spec_.intermediate_size +
                              std::min<std::uint64_t>(kHeadPartRows, spec_.vocab_size);
    return scratch_bytes(tokens) +
           4 * (tokens * row + backward_scratch_values(shape) +
                kGradientRows * std::max<std::uint64_t>(width, spec_.intermediate_size));
  }

  void multiply_transposed(std::span<const float> x, std::span<const float> w, std::size_t in_features,
                           std::span<float> y) const override {
    const std::size_t rows = x.size() / in_features, outputs = w.size() / in_features;
    torch_pass::multiply_transposed({x.data(), rows, in_features, in_features},
                                    {w.data(), outputs, in_features, in_features},
                                    {y.data(), rows, outputs, outputs}, Product::replace);
  }

  StageSeconds stage_seconds() const noexcept override { return stages_.seconds(); }

 private:
  const float* final_norm(const Head& head, std::span<const float> hidden, Scratch& scratch) const {
    scratch.normed.resize(hidden.size());
    rms_norm(hidden.data(), head.norm.data(), spec_.rms_norm_eps, hidden.size() / spec_.hidden_size,
             spec_.hidden_size, scratch.normed.data());
    return scratch.normed.data();
  }

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

  ExtendShape extend_shape() const noexcept {
    return {attention_shape(0), spec_.hidden_size, spec_.intermediate_size, spec_.rms_norm_eps};
  }

  AttentionShape attention_shape(std::size_t tokens) const noexcept {
    return {tokens, spec_.n_heads, spec_.n_kv_heads, spec_.head_dim};
  }

  ModelSpec spec_;
  Rope rope_;
  std::string blas_;
  mutable ScratchPool scratch_;
  mutable StageTotals stages_;
};

}  // namespace
}  // namespace llmq::torch_pass

extern "C" __attribute__((visibility("default"))) llmq::ForwardPass* llmq_make_forward_pass(
    const llmq::ModelSpec* spec) {
  return new llmq::torch_pass::LlamaPass(*spec);
}
