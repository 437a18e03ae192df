#include "model/torch/layer_backward.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "model/torch/elementwise.hpp"
#include "model/torch/elementwise_backward.hpp"
#include "model/torch/matmul.hpp"

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
        observer_(observer),
        scratch_(scratch),
        clock_(stages) {
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
    rms_norm(input_, layer_.attention_norm.data(), shape_.eps, tokens_, shape_.hidden,
             scratch_.normed.data());
    clock_.elementwise();
    layer_.qkv.apply(scratch_.normed.data(), tokens_, scratch_.qkv.data());
    clock_.matmul();
    attention(shape_.attention, rope_, scratch_.qkv.data(), scratch_.attended.data(), scratch_.attention);
    clock_.attention();
    std::copy_n(input_, tokens_ * shape_.hidden, scratch_.middle.data());
    layer_.attention_output.add_to(scratch_.attended.data(), tokens_, scratch_.middle.data());
    clock_.matmul();
    rms_norm(scratch_.middle.data(), layer_.ffn_norm.data(), shape_.eps, tokens_, shape_.hidden,
             scratch_.ffn_normed.data());
    clock_.elementwise();
    layer_.gate_up.apply(scratch_.ffn_normed.data(), tokens_, scratch_.gate_up.data());
    clock_.matmul();
    swiglu(scratch_.gate_up.data(), tokens_, shape_.ffn, scratch_.activated.data());
    clock_.elementwise();
  }

  void mlp(float* gradient) {
    const std::array down = {Member{"ffn_down.weight", 0, shape_.hidden}};
    const std::array gate_up = {Member{"ffn_gate.weight", 0, shape_.ffn},
                                Member{"ffn_up.weight", shape_.ffn, shape_.ffn}};
    weight_gradients(layer_.down, down, scratch_.activated, gradient);
    through(layer_.down, gradient, scratch_.d_activated);
    swiglu_backward(scratch_.gate_up.data(), scratch_.d_activated.data(), tokens_, shape_.ffn);
    clock_.elementwise();
    weight_gradients(layer_.gate_up, gate_up, scratch_.ffn_normed, scratch_.gate_up.data());
    through(layer_.gate_up, scratch_.gate_up.data(), scratch_.d_normed);
    rms_norm_backward(scratch_.middle.data(), layer_.ffn_norm.data(), shape_.eps, scratch_.d_normed.data(),
                      tokens_, shape_.hidden, gradient);
    clock_.elementwise();
  }

  void self_attention(float* gradient) {
    const std::size_t q_rows = shape_.attention.heads * shape_.attention.head_dim;
    const std::size_t kv_rows = shape_.attention.kv_heads * shape_.attention.head_dim;
    const std::array output = {Member{"attn_output.weight", 0, shape_.hidden}};
    const std::array qkv = {Member{"attn_q.weight", 0, q_rows}, Member{"attn_k.weight", q_rows, kv_rows},
                            Member{"attn_v.weight", q_rows + kv_rows, kv_rows}};
    weight_gradients(layer_.attention_output, output, scratch_.attended, gradient);
    through(layer_.attention_output, gradient, scratch_.d_attended);
    attention_backward(shape_.attention, rope_, scratch_.qkv.data(), scratch_.attended.data(),
                       scratch_.d_attended.data(), scratch_.d_qkv.data(), scratch_.attention_backward);
    clock_.attention();
    weight_gradients(layer_.qkv, qkv, scratch_.normed, scratch_.d_qkv.data());
    through(layer_.qkv, scratch_.d_qkv.data(), scratch_.d_normed);
    rms_norm_backward(input_, layer_.attention_norm.data(), shape_.eps, scratch_.d_normed.data(), tokens_,
                      shape_.hidden, gradient);
    clock_.elementwise();
  }

 private:
  /// d_x [tokens, in] = d_y [tokens, out] W.
  void through(const Linear& linear, const float* d_y, std::vector<float>& d_x) {
    multiply({d_y, tokens_, linear.out_features, linear.out_features},
             {linear.weight.data(), linear.out_features, linear.in_features, linear.in_features},
             {d_x.data(), tokens_, linear.in_features, linear.in_features});
    clock_.matmul();
  }

  /// d_W [out, in] = d_y^T x, some rows at a time.
  void weight_gradients(const Linear& linear, std::span<const Member> members, const std::vector<float>& x,
                        const float* d_y) {
    const std::size_t columns = linear.in_features;
    scratch_.tile.resize(std::max(scratch_.tile.size(), kGradientRows * columns));
    for (const Member& member : members) {
      for (std::size_t row = 0; row < member.rows; row += kGradientRows) {
        const std::size_t rows = std::min(kGradientRows, member.rows - row);
        const std::size_t first = member.first_row + row;
        multiply_first_transposed({d_y + first, tokens_, rows, linear.out_features},
                                  {x.data(), tokens_, columns, columns},
                                  {scratch_.tile.data(), rows, columns, columns}, Product::replace);
        clock_.matmul();
        observer_({member.name,
                   row,
                   member.rows,
                   columns,
                   {linear.weight.data() + first * columns, rows * columns},
                   {scratch_.tile.data(), rows * columns}});
        clock_.skip();
      }
    }
  }

  const LayerShape& shape_;
  const std::size_t tokens_;
  const Layer& layer_;
  const Rope& rope_;
  const float* input_;
  const GradientObserver& observer_;
  Scratch& scratch_;
  StageClock clock_;
};

}  // namespace

void layer_backward(const LayerShape& shape, const Layer& layer, const Rope& rope, const float* input,
                    float* gradient, const GradientObserver& observer, Scratch& scratch,
                    StageTotals& stages) {
  LayerBackward pass(shape, layer, rope, input, observer, scratch, stages);
  pass.forward();
  pass.mlp(gradient);
  pass.self_attention(gradient);
}

}  // namespace llmq::torch_pass
