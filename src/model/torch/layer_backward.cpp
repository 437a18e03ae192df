#include "model/torch/layer_backward.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "model/torch/elementwise.hpp"
#include "model/torch/elementwise_backward.hpp"
#include "model/torch/experts_backward.hpp"
#include "model/torch/matmul.hpp"
#include "model/torch/weight_gradients.hpp"

namespace llmq::torch_pass {
namespace {

/// One of the weights stacked in a Linear.
struct Member {
  std::string_view name;
  std::size_t first_row;
  std::size_t rows;
};

class LayerBackward {
 public:
  LayerBackward(const LayerShape& shape, const Layer& layer, const Rope& rope, const float* input,
                const GradientObserver& observer, Scratch& scratch, StageTotals& stages)
      : shape_(shape),
        tokens_(shape.attention.tokens),
        layer_(layer),
        rope_(rope),
        input_(input),
        scratch_(scratch),
        clock_(stages),
        gradients_(observer, scratch.tile, clock_) {
    const std::size_t attended = shape.attention.heads * shape.attention.head_dim;
    for (std::vector<float>* rows :
         {&scratch.normed, &scratch.ffn_normed, &scratch.middle, &scratch.d_normed})
      rows->resize(tokens_ * shape.hidden);
    for (std::vector<float>* rows : {&scratch.qkv, &scratch.d_qkv})
      rows->resize(tokens_ * shape.attention.qkv_width());
    for (std::vector<float>* rows : {&scratch.attended, &scratch.d_attended})
      rows->resize(tokens_ * attended);
    for (std::vector<float>* rows : {&scratch.activated, &scratch.d_activated})
      rows->resize(tokens_ * shape.ffn);
    scratch.gate_up.resize(tokens_ * 2 * shape.ffn);
  }

  /// What the forward pass computed on its way; `middle` is the state between attention and MLP.
  void forward() {
    attention_input_ = pre_norm(shape_, layer_.attention_norm, input_, tokens_, scratch_.normed);
    clock_.elementwise();
    layer_.qkv.apply(attention_input_, tokens_, scratch_.qkv.data());
    clock_.matmul();
    if (shape_.qk_norm != QkNorm::none) scratch_.raw_qkv = scratch_.qkv;
    norm_queries_and_keys(shape_, layer_, scratch_.qkv.data(), tokens_);
    attention(shape_.attention, rope_, scratch_.qkv.data(), scratch_.attended.data(), scratch_.attention);
    clock_.attention();
    std::copy_n(input_, tokens_ * shape_.hidden, scratch_.middle.data());
    add_output(layer_.attention_output, scratch_.attended, layer_.attention_post_norm,
               scratch_.attention_product, scratch_.middle.data());
    ffn_input_ = pre_norm(shape_, layer_.ffn_norm, scratch_.middle.data(), tokens_, scratch_.ffn_normed);
    clock_.elementwise();
    if (shape_.ffn == 0) return;
    layer_.gate_up.apply(ffn_input_, tokens_, scratch_.gate_up.data());
    clock_.matmul();
    activate(shape_, scratch_.gate_up.data(), tokens_, scratch_.activated.data());
    clock_.elementwise();
  }

  void mlp(float* gradient) {
    if (!layer_.ffn_post_norm.empty()) run_down();
    const float* d_down = behind_post_norm(layer_.ffn_post_norm, scratch_.ffn_product, gradient);
    if (shape_.fused_gate_up)
      through_mlp(d_down, "ffn_down.weight", std::array{Member{"ffn_up.weight", 0, 2 * shape_.ffn}});
    else
      through_mlp(d_down, "ffn_down.weight", gate_and_up("ffn_gate.weight", "ffn_up.weight"));
    add_through_pre_norm(layer_.ffn_norm, scratch_.middle.data(), gradient);
  }

  void experts(float* gradient) {
    float* d_normed = scratch_.d_normed.data();
    const std::size_t count = tokens_ * shape_.hidden;
    if (shape_.ffn > 0) {
      run_down();
      scratch_.d_product.assign(gradient, gradient + count);
      gate_shared_expert(layer_, ffn_input_, tokens_, scratch_.d_product.data());
      through_mlp(scratch_.d_product.data(), "ffn_down_shexp.weight",
                  gate_and_up("ffn_gate_shexp.weight", "ffn_up_shexp.weight"));
      shared_gate_backward(layer_, ffn_input_, tokens_, scratch_.ffn_product.data(), gradient, d_normed);
    } else {
      std::fill_n(d_normed, count, 0.0F);
    }
    experts_backward(shape_, layer_, ffn_input_, tokens_, gradient, gradients_, d_normed, scratch_.experts,
                     scratch_.experts_backward);
    clock_.matmul();
    add_through_pre_norm(layer_.ffn_norm, scratch_.middle.data(), gradient);
  }

  void self_attention(float* gradient) {
    const std::size_t q_rows = shape_.attended();
    const std::size_t kv_rows = shape_.attention.kv_heads * shape_.attention.head_dim;
    const std::array output = {Member{"attn_output.weight", 0, shape_.hidden}};
    const std::vector<Member> apart = {{"attn_q.weight", 0, q_rows},
                                       {"attn_k.weight", q_rows, kv_rows},
                                       {"attn_v.weight", q_rows + kv_rows, kv_rows}};
    const std::vector<Member> together = {{"attn_qkv.weight", 0, q_rows + 2 * kv_rows}};
    const float* d_output =
        behind_post_norm(layer_.attention_post_norm, scratch_.attention_product, gradient);
    weight_gradients(layer_.attention_output, output, scratch_.attended.data(), d_output);
    through(layer_.attention_output, d_output, scratch_.d_attended);
    attention_backward(shape_.attention, rope_, scratch_.qkv.data(), scratch_.attended.data(),
                       scratch_.d_attended.data(), scratch_.d_qkv.data(), scratch_.attention_backward);
    if (shape_.qk_norm != QkNorm::none) through_qk_norms();
    clock_.attention();
    weight_gradients(layer_.qkv, shape_.fused_qkv ? together : apart, attention_input_,
                     scratch_.d_qkv.data());
    through(layer_.qkv, scratch_.d_qkv.data(), scratch_.d_normed);
    add_through_pre_norm(layer_.attention_norm, input_, gradient);
  }

 private:
  std::array<Member, 2> gate_and_up(std::string_view gate, std::string_view up) const {
    return {Member{gate, 0, shape_.ffn}, Member{up, shape_.ffn, shape_.ffn}};
  }

  /// The product of the MLP of all tokens, kept.
  void run_down() {
    scratch_.ffn_product.resize(tokens_ * shape_.hidden);
    layer_.down.apply(scratch_.activated.data(), tokens_, scratch_.ffn_product.data());
    clock_.matmul();
  }

  /// d_normed from the gradient of the MLP's product.
  void through_mlp(const float* d_down, std::string_view down, std::span<const Member> gate_up) {
    weight_gradients(layer_.down, std::array{Member{down, 0, shape_.hidden}}, scratch_.activated.data(),
                     d_down);
    through(layer_.down, d_down, scratch_.d_activated);
    activation_backward(shape_, scratch_.gate_up.data(), scratch_.d_activated.data(), tokens_);
    clock_.elementwise();
    weight_gradients(layer_.gate_up, gate_up, ffn_input_, scratch_.gate_up.data());
    through(layer_.gate_up, scratch_.gate_up.data(), scratch_.d_normed);
  }

  /// hidden += what `linear` makes of x, behind its norm if there is one; the product itself is then kept.
  void add_output(const Linear& linear, const std::vector<float>& x, const std::vector<float>& post_norm,
                  std::vector<float>& product, float* hidden) {
    if (post_norm.empty()) {
      linear.add_to(x.data(), tokens_, hidden);
      return clock_.matmul();
    }
    product.resize(tokens_ * shape_.hidden);
    linear.apply(x.data(), tokens_, product.data());
    clock_.matmul();
    add_post_normed(shape_, post_norm, product.data(), tokens_, scratch_.d_normed.data(), hidden);
    clock_.elementwise();
  }

  /// Gradient of a product from that of what was added; without a norm between them the same.
  const float* behind_post_norm(const std::vector<float>& post_norm, const std::vector<float>& product,
                                const float* gradient) {
    if (post_norm.empty()) return gradient;
    scratch_.d_product.assign(tokens_ * shape_.hidden, 0.0F);
    apply_norm_backward(shape_.norm, post_norm, shape_.eps, product.data(), gradient, tokens_, shape_.hidden,
                        scratch_.d_product.data());
    clock_.elementwise();
    return scratch_.d_product.data();
  }

  /// gradient += that of the state `x`, from d_normed of what the products took in.
  void add_through_pre_norm(const std::vector<float>& norm, const float* x, float* gradient) {
    if (norm.empty())
      add_bias(gradient, scratch_.d_normed.data(), 1, tokens_ * shape_.hidden);  // one long row
    else
      apply_norm_backward(shape_.norm, norm, shape_.eps, x, scratch_.d_normed.data(), tokens_, shape_.hidden,
                          gradient);
    clock_.elementwise();
  }

  /// d_qkv of normed queries and keys becomes that of the products.
  void through_qk_norms() {
    const AttentionShape& attention = shape_.attention;
    const bool by_head = shape_.qk_norm == QkNorm::head;
    std::vector<float> before;
    for (std::size_t token = 0; token < tokens_; ++token) {
      const std::size_t at = token * attention.qkv_width();
      const auto part = [&](std::size_t first, std::size_t heads, const std::vector<float>& weight) {
        const std::size_t count = heads * attention.head_dim, pieces = by_head ? heads : 1;
        float* gradient = scratch_.d_qkv.data() + at + first;
        before.assign(count, 0.0F);
        rms_norm_backward(scratch_.raw_qkv.data() + at + first, weight.data(), shape_.eps, gradient, pieces,
                          count / pieces, before.data());
        std::copy(before.begin(), before.end(), gradient);
      };
      part(0, attention.heads, layer_.q_norm);
      part(shape_.attended(), attention.kv_heads, layer_.k_norm);
    }
  }

  /// d_x [tokens, in] = d_y [tokens, out] W.
  void through(const Linear& linear, const float* d_y, std::vector<float>& d_x) {
    multiply({d_y, tokens_, linear.out_features, linear.out_features},
             {linear.weight.data(), linear.out_features, linear.in_features, linear.in_features},
             {d_x.data(), tokens_, linear.in_features, linear.in_features});
    clock_.matmul();
  }

  /// The gradients of the weights stacked in a Linear.
  void weight_gradients(const Linear& linear, std::span<const Member> members, const float* x,
                        const float* d_y) {
    const std::size_t in = linear.in_features, out = linear.out_features;
    for (const Member& member : members) {
      gradients_.pass({member.name, 0, linear.weight.data() + member.first_row * in, member.rows, in},
                      {x, tokens_, in, in}, {d_y + member.first_row, tokens_, member.rows, out});
    }
  }

  const LayerShape& shape_;
  const std::size_t tokens_;
  const Layer& layer_;
  const Rope& rope_;
  const float* input_;
  const float* attention_input_ = nullptr;  ///< behind the norm, if there is one
  const float* ffn_input_ = nullptr;
  Scratch& scratch_;
  StageClock clock_;
  WeightGradients gradients_;
};

}  // namespace

void layer_backward(const LayerShape& shape, const Layer& layer, const Rope& rope, const float* input,
                    float* gradient, const GradientObserver& observer, Scratch& scratch,
                    StageTotals& stages) {
  LayerBackward pass(shape, layer, rope, input, observer, scratch, stages);
  pass.forward();
  if (layer.experts)
    pass.experts(gradient);
  else
    pass.mlp(gradient);
  pass.self_attention(gradient);
}

}  // namespace llmq::torch_pass
