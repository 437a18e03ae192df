// The forward pass of all architectures (layer_parts.hpp: where they differ). q, k, v and gate, up are fused
// into one product each. SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <vector>

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/model/forward.hpp"

#include "model/torch/attention.hpp"
#include "model/torch/elementwise.hpp"
#include "model/torch/elementwise_backward.hpp"
#include "model/torch/experts.hpp"
#include "model/torch/experts_backward.hpp"
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

class TorchPass final : public ForwardPass {
 public:
  explicit TorchPass(const ModelSpec& spec)
      : spec_(spec),
        rope_(make_rope(spec, spec.rope_scaling == RopeScaling::longrope ? spec.rope_short_factors
                                                                         : spec.rope_freq_factors())),
        blas_(bind_to_one_thread()) {
    if (spec.rope_scaling == RopeScaling::longrope)
      long_rope_.emplace(make_rope(spec, spec.rope_long_factors));
    if (spec.rotation_pattern != 0) no_rope_.emplace(std::vector<float>(), 0, spec.head_dim);
    if (spec.rope_theta_local == 0) return;
    ModelSpec local = spec;
    local.rope_theta = spec.rope_theta_local;
    local.rope_scaling = RopeScaling::none;
    local_rope_.emplace(make_rope(local, {}));
  }

  std::string description() const override {
    return fmt::format("libtorch {} with {}", LLMQ_TORCH_VERSION, blas_);
  }

  std::unique_ptr<LayerWeights> load_layer(std::uint32_t layer, const WeightLoader& weights,
                                           const CodeLoader& codes, Products products) const override {
    const std::size_t hidden = spec_.hidden_size;
    const std::size_t head = spec_.head_dim;
    const auto name = [&](const char* part) { return fmt::format("blk.{}.{}", layer, part); };
    auto loaded = std::make_unique<Layer>();
    loaded->index = layer;
    load_norms(weights, name, *loaded);
    const std::vector<Part> qkv = {{name("attn_q"), spec_.n_heads * head},
                                   {name("attn_k"), spec_.n_kv_heads * head},
                                   {name("attn_v"), spec_.n_kv_heads * head}};
    const std::vector<Part> fused = {{name("attn_qkv"), (spec_.n_heads + 2 * spec_.n_kv_heads) * head}};
    loaded->qkv = load_linear(weights, codes, spec_.fused_qkv ? fused : qkv, hidden, products);
    loaded->attention_output =
        load_linear(weights, codes, {{name("attn_output"), hidden}}, spec_.n_heads * head, products);
    const std::size_t ffn = spec_.common_ffn();
    const char* end = spec_.n_experts == 0 ? "" : "_shexp";
    if (ffn > 0) {
      const auto part = [&](const char* role) { return name(role) + end; };
      const std::vector<Part> apart = {{part("ffn_gate"), ffn}, {part("ffn_up"), ffn}};
      const std::vector<Part> together = {{part("ffn_up"), 2 * ffn}};
      loaded->gate_up = load_linear(weights, codes, spec_.fused_gate_up ? together : apart, hidden, products);
      loaded->down = load_linear(weights, codes, {{part("ffn_down"), hidden}}, ffn, products);
    }
    if (spec_.n_experts > 0) load_experts(weights, name, *loaded);
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
    loaded->norm = load_norm(weights, "output_norm", spec_.norm, spec_.hidden_size);
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
    if (spec_.embedding_scale != 1) {
      for (float& value : hidden) value *= spec_.embedding_scale;
    }
  }

  void run_layer(const LayerWeights& weights, std::span<float> hidden, const MatmulObserver& observer,
                 const ProductObserver& down_product, ExpertTokens watched) const override {
    const auto& layer = static_cast<const Layer&>(weights);
    const ScratchPool::Lease lease(scratch_);
    Scratch& scratch = *lease;
    StageClock clock(stages_);
    const std::size_t tokens = hidden.size() / spec_.hidden_size;
    if (tokens > spec_.context_length) throw InternalError("sample is longer than the model's context");
    const LayerShape shape = layer_shape(layer.index, tokens);
    const auto watch = [&](MatmulInput input, const float* x, std::size_t columns) {
      if (observer) observer({input, 0, std::span<const float>(x, tokens * columns), columns});
      clock.skip();
    };
    scratch.qkv.resize(tokens * shape.attention.qkv_width());
    scratch.attended.resize(tokens * shape.attended());
    scratch.gate_up.resize(tokens * 2 * shape.ffn);
    scratch.activated.resize(tokens * shape.ffn);

    const float* input = pre_norm(shape, layer.attention_norm, hidden.data(), tokens, scratch.normed);
    clock.elementwise();
    watch(MatmulInput::attention, input, shape.hidden);
    layer.qkv.apply(input, tokens, scratch.qkv.data());
    clock.matmul();
    norm_queries_and_keys(shape, layer, scratch.qkv.data(), tokens);
    attention(shape.attention, rope_of(layer.index, tokens), scratch.qkv.data(), scratch.attended.data(),
              scratch.attention);
    clock.attention();
    watch(MatmulInput::attention_output, scratch.attended.data(), shape.attended());
    add_output(shape, layer.attention_output, layer.attention_post_norm, scratch.attended, hidden, scratch,
               clock);

    input = pre_norm(shape, layer.ffn_norm, hidden.data(), tokens, scratch.normed);
    clock.elementwise();
    watch(MatmulInput::ffn, input, shape.hidden);
    if (layer.experts) {
      return run_experts(shape, layer, input, tokens, hidden, {observer, down_product, watched}, scratch,
                         clock);
    }
    layer.gate_up.apply(input, tokens, scratch.gate_up.data());
    clock.matmul();
    activate(shape, scratch.gate_up.data(), tokens, scratch.activated.data());
    clock.elementwise();
    watch(MatmulInput::ffn_down, scratch.activated.data(), shape.ffn);
    if (down_product) {
      scratch.product.resize(hidden.size());
      layer.down.apply(scratch.activated.data(), tokens, scratch.product.data());
      down_product(scratch.product, shape.hidden);
    }
    add_output(shape, layer.down, layer.ffn_post_norm, scratch.activated, hidden, scratch, clock);
  }

  void extend_layer(const LayerWeights& weights, std::span<const SequenceRows> sequences,
                    std::span<float> hidden, std::size_t threads) const override {
    const auto& layer = static_cast<const Layer&>(weights);
    std::size_t capacity = 0;  // all sequences of a run have caches of one size
    for (const SequenceRows& sequence : sequences) capacity = std::max(capacity, sequence.cache->capacity());
    extend_rows(layer_shape(layer.index, 0), layer, rope_of(layer.index, capacity), sequences, hidden.data(),
                threads, scratch_);
  }

  void extend_head(const LayerWeights& weights, std::span<const float> hidden, std::span<float> logits,
                   std::size_t threads) const override {
    const auto& head = static_cast<const Head&>(weights);
    const ScratchPool::Lease lease(scratch_);
    extend_product(head.output, final_norm(head, hidden, *lease), hidden.size() / spec_.hidden_size,
                   logits.data(), Product::replace, threads);
    cap(logits);
  }

  std::uint64_t extend_scratch_bytes(std::size_t tokens, std::size_t threads) const noexcept override {
    return 4 * extend_scratch_values(layer_shape(0, 0), tokens, threads);
  }

  void backward_layer(const LayerWeights& weights, std::span<const float> input, std::span<float> gradient,
                      const GradientObserver& observer) const override {
    const auto& layer = static_cast<const Layer&>(weights);
    for (const Linear* linear : {&layer.qkv, &layer.attention_output, &layer.gate_up, &layer.down}) {
      if (linear->codes || linear->digits) throw InternalError("a layer of 8-bit codes cannot run backward");
    }
    const ScratchPool::Lease lease(scratch_);
    const LayerShape shape = layer_shape(layer.index, input.size() / spec_.hidden_size);
    layer_backward(shape, layer, rope_of(layer.index, shape.attention.tokens), input.data(), gradient.data(),
                   observer, *lease, stages_);
  }

  std::unique_ptr<LayerWeights> load_head_part(std::size_t first, std::size_t count,
                                               const RowLoader& rows) const override {
    auto loaded = std::make_unique<Head>();
    loaded->norm = load_norm([&](std::string_view name, std::span<float> out) { return rows(name, 0, out); },
                             "output_norm", spec_.norm, spec_.hidden_size);
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
    take_logits({head.output, head.first_token, spec_.logit_softcap}, ids, final_norm(head, hidden, *lease),
                progress, (*lease).logits);
    clock.matmul();
  }

  void head_backward(const LayerWeights& part, std::span<const std::int32_t> ids,
                     std::span<const float> hidden, HeadProgress& progress) const override {
    const auto& head = static_cast<const Head&>(part);
    const ScratchPool::Lease lease(scratch_);
    StageClock clock(stages_);
    add_gradient({head.output, head.first_token, spec_.logit_softcap}, ids, final_norm(head, hidden, *lease),
                 progress, (*lease).logits);
    clock.matmul();
  }

  double finish_head(const LayerWeights& part, std::span<float> hidden,
                     const HeadProgress& progress) const override {
    const auto& head = static_cast<const Head&>(part);
    const ScratchPool::Lease lease(scratch_);
    std::vector<float>& before = (*lease).middle;
    before.assign(hidden.begin(), hidden.end());
    std::fill(hidden.begin(), hidden.end(), 0.0F);
    apply_norm_backward(spec_.norm, head.norm, spec_.rms_norm_eps, before.data(), progress.d_normed.data(),
                        hidden.size() / spec_.hidden_size, spec_.hidden_size, hidden.data());
    return mean_loss(progress);
  }

  void run_head(const LayerWeights& weights, std::span<const float> hidden,
                std::span<float> logits) const override {
    const auto& head = static_cast<const Head&>(weights);
    const ScratchPool::Lease lease(scratch_);
    head.output.apply(final_norm(head, hidden, *lease), hidden.size() / spec_.hidden_size, logits.data());
    cap(logits);
  }

  std::uint64_t scratch_bytes(std::size_t tokens) const noexcept override {
    const AttentionShape shape = attention_shape(0, tokens);
    const std::uint64_t row = (spec_.post_norms ? 2 : 1) * std::uint64_t{spec_.hidden_size} +
                              shape.qkv_width() + shape.heads * shape.head_dim +
                              3 * std::uint64_t{spec_.common_ffn()};
    const std::uint64_t experts =
        spec_.n_experts == 0
            ? 0
            : torch_pass::scratch_values(layer_shape(0, tokens), tokens) + tokens * spec_.hidden_size;
    return 4 * (tokens * row + scratch_values(shape) + experts);
  }

  std::uint64_t backward_scratch_bytes(std::size_t tokens) const noexcept override {
    const AttentionShape shape = attention_shape(0, tokens);
    const std::uint64_t width = spec_.hidden_size;
    const std::uint64_t experts = spec_.n_experts == 0
                                      ? 0
                                      : torch_pass::backward_scratch_values(layer_shape(0, tokens), tokens) +
                                            (spec_.shared_ffn > 0 ? 2 : 0) * tokens * width;
    const std::uint64_t norms =
        (spec_.post_norms ? 3 * width : 0) + (spec_.qk_norm == QkNorm::none ? 0 : shape.qkv_width());
    const std::uint64_t row = norms + 3 * width + shape.qkv_width() + shape.heads * shape.head_dim +
                              spec_.common_ffn() + std::min<std::uint64_t>(kHeadPartRows, spec_.vocab_size);
    return scratch_bytes(tokens) +
           4 * (tokens * row + backward_scratch_values(shape) + experts +
                kGradientRows * std::max({width, std::uint64_t{spec_.common_ffn()},
                                          std::uint64_t{spec_.expert_ffn}, shape.heads * shape.head_dim}));
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
  template <class Name>
  void load_norms(const WeightLoader& weights, const Name& name, Layer& layer) const {
    const std::size_t hidden = spec_.hidden_size;
    if (spec_.pre_norms) {
      layer.attention_norm = load_norm(weights, name("attn_norm"), spec_.norm, hidden);
      layer.ffn_norm = load_norm(weights, name("ffn_norm"), spec_.norm, hidden);
    }
    if (spec_.post_norms) {
      layer.attention_post_norm = load_norm(weights, name("post_attention_norm"), spec_.norm, hidden);
      layer.ffn_post_norm = load_norm(weights, name("post_ffw_norm"), spec_.norm, hidden);
    }
    if (spec_.qk_norm == QkNorm::none) return;
    const bool by_head = spec_.qk_norm == QkNorm::head;
    layer.q_norm =
        load_vector(weights, name("attn_q_norm.weight"), (by_head ? 1 : spec_.n_heads) * spec_.head_dim);
    layer.k_norm =
        load_vector(weights, name("attn_k_norm.weight"), (by_head ? 1 : spec_.n_kv_heads) * spec_.head_dim);
  }

  void cap(std::span<float> logits) const {
    if (spec_.logit_softcap > 0) softcap(logits.data(), logits.size(), 1, spec_.logit_softcap);
  }

  template <class Name>
  void load_experts(const WeightLoader& weights, const Name& name, Layer& layer) const {
    const std::size_t hidden = spec_.hidden_size,
                      all = std::size_t{spec_.n_experts} * spec_.expert_ffn * hidden;
    Experts& experts = layer.experts.emplace();
    experts.router = load_vector(weights, name("ffn_gate_inp.weight"), spec_.n_experts * hidden);
    for (const auto& [values, role] :
         {std::pair{&experts.gate, "ffn_gate_exps.weight"}, std::pair{&experts.up, "ffn_up_exps.weight"},
          std::pair{&experts.down, "ffn_down_exps.weight"}}) {
      *values = Values(all);
      if (!weights(name(role), values->all())) missing_tensor(name(role));
    }
    if (spec_.shared_ffn > 0)
      experts.shared_gate = load_vector(weights, name("ffn_gate_inp_shexp.weight"), hidden);
  }

  const float* final_norm(const Head& head, std::span<const float> hidden, Scratch& scratch) const {
    scratch.normed.resize(hidden.size());
    apply_norm(spec_.norm, head.norm, spec_.rms_norm_eps, hidden.data(), hidden.size() / spec_.hidden_size,
               spec_.hidden_size, scratch.normed.data());
    return scratch.normed.data();
  }

  static std::vector<float> inverse_frequencies(const ModelSpec& spec, const std::vector<float>& factors) {
    const std::uint32_t dims = spec.rotated_dims();
    std::vector<float> inverse(dims / 2);
    for (std::size_t c = 0; c < inverse.size(); ++c) {
      double frequency = std::pow(spec.rope_theta, -2.0 * static_cast<double>(c) / dims);
      if (spec.rope_scaling == RopeScaling::linear) frequency /= spec.rope_factor;
      if (spec.rope_scaling == RopeScaling::yarn) frequency *= spec.yarn_share(c);
      if (!factors.empty()) frequency /= static_cast<double>(factors[c]);
      inverse[c] = static_cast<float>(frequency);
    }
    return inverse;
  }

  static Rope make_rope(const ModelSpec& spec, const std::vector<float>& factors) {
    return Rope(inverse_frequencies(spec, factors), spec.context_length, spec.head_dim - spec.rotated_dims(),
                spec.rotated_scale());
  }

  /// hidden += what the experts make of x, the shared one first.
  static void run_experts(const LayerShape& shape, const Layer& layer, const float* x, std::size_t tokens,
                          std::span<float> hidden, const ExpertObservers& observers, Scratch& scratch,
                          StageClock& clock) {
    // Nothing may be added to hidden before all have read x, which may be hidden itself.
    scratch.product.assign(hidden.size(), 0.0F);
    if (shape.ffn > 0) {
      layer.gate_up.apply(x, tokens, scratch.gate_up.data());
      activate(shape, scratch.gate_up.data(), tokens, scratch.activated.data());
      if (observers.inputs)
        observers.inputs({MatmulInput::ffn_down, 0, std::span<const float>(scratch.activated), shape.ffn});
      layer.down.apply(scratch.activated.data(), tokens, scratch.product.data());
      if (observers.down_product) observers.down_product(scratch.product, shape.hidden);
      gate_shared_expert(layer, x, tokens, scratch.product.data());
    }
    add_experts(shape, layer, x, tokens, scratch.product.data(), &torch_pass::multiply_transposed, observers,
                scratch.experts);
    add_bias(hidden.data(), scratch.product.data(), 1, hidden.size());  // one long row
    clock.matmul();
  }

  /// hidden += what `linear` makes of x, behind its norm if there is one.
  static void add_output(const LayerShape& shape, const Linear& linear, const std::vector<float>& post_norm,
                         const std::vector<float>& x, std::span<float> hidden, Scratch& scratch,
                         StageClock& clock) {
    const std::size_t tokens = hidden.size() / shape.hidden;
    if (post_norm.empty()) {
      linear.add_to(x.data(), tokens, hidden.data());
      return clock.matmul();
    }
    scratch.product.resize(hidden.size());
    linear.apply(x.data(), tokens, scratch.product.data());
    clock.matmul();
    add_post_normed(shape, post_norm, scratch.product.data(), tokens, scratch.product.data(), hidden.data());
    clock.elementwise();
  }

  LayerShape layer_shape(std::uint32_t layer, std::size_t tokens) const noexcept {
    return {attention_shape(layer, tokens),
            spec_.hidden_size,
            spec_.common_ffn(),
            spec_.rms_norm_eps,
            spec_.norm,
            spec_.activation,
            spec_.qk_norm,
            spec_.fused_qkv,
            spec_.fused_gate_up,
            {spec_.n_experts, spec_.n_experts_used, spec_.expert_ffn, spec_.normed_shares}};
  }

  AttentionShape attention_shape(std::uint32_t layer, std::size_t tokens) const noexcept {
    return {tokens,
            spec_.n_heads,
            spec_.n_kv_heads,
            spec_.head_dim,
            spec_.attention_scale,
            spec_.attention_softcap,
            spec_.window_of(layer)};
  }

  /// @param context  tokens of the whole sequence: long ones may have their own frequencies
  const Rope& rope_of(std::uint32_t layer, std::size_t context) const noexcept {
    if (!spec_.rotates(layer)) return *no_rope_;
    if (long_rope_ && static_cast<double>(context) > spec_.rope_original_context) return *long_rope_;
    return local_rope_ && spec_.window_of(layer) != 0 ? *local_rope_ : rope_;
  }

  ModelSpec spec_;
  Rope rope_;
  std::optional<Rope> long_rope_;   ///< of contexts beyond the original one, where they have their own
  std::optional<Rope> local_rope_;  ///< of windowed layers, where they have their own
  std::optional<Rope> no_rope_;     ///< of layers that do not rotate, where there are such: all is rest
  std::string blas_;
  mutable ScratchPool scratch_;
  mutable StageTotals stages_;
};

}  // namespace
}  // namespace llmq::torch_pass

extern "C" __attribute__((visibility("default"))) llmq::ForwardPass* llmq_make_forward_pass(
    const llmq::ModelSpec* spec) {
  return new llmq::torch_pass::TorchPass(*spec);
}
