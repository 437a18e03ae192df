#include "model/torch/experts_backward.hpp"

#include <algorithm>
#include <cmath>

#include "model/torch/elementwise_backward.hpp"

namespace llmq::torch_pass {
namespace {

/// Gradients of shares become those of the logits they came from.   share_e = e^logit_e / sum, where the sum
/// goes over the chosen experts or over all:  d_logit_e = p_e (d_share_e - sum_k share_k d_share_k), p_e the
/// share that e has or, not chosen, would have of the sum
void router_backward(const ExpertShape& shape, std::span<const float> logits, std::span<const float> shares,
                     std::span<float> d_shares) {
  double weighted = 0, all = 0;
  const float top = *std::max_element(logits.begin(), logits.end());
  const auto exponential = [&](float logit) { return std::exp(static_cast<double>(logit - top)); };
  for (std::size_t e = 0; e < logits.size(); ++e) {
    weighted += static_cast<double>(shares[e]) * static_cast<double>(d_shares[e]);
    all += exponential(logits[e]);
  }
  for (std::size_t e = 0; e < logits.size(); ++e) {
    const bool chosen = shares[e] > 0;
    if (!chosen && shape.normed_shares) continue;  // not in the sum, and its gradient is zero already
    const double share = chosen ? static_cast<double>(shares[e]) : exponential(logits[e]) / all;
    d_shares[e] = static_cast<float>(share * (static_cast<double>(d_shares[e]) - weighted));
  }
}

/// One expert: its matrices' gradients go by, d_x gains its rows.
class ExpertBackward {
 public:
  ExpertBackward(const LayerShape& shape, const Layer& layer, std::uint32_t expert, ExpertScratch& scratch,
                 ExpertBackwardScratch& back)
      : shape_(shape),
        experts_(*layer.experts),
        expert_(expert),
        hidden_(shape.hidden),
        ffn_(shape.ffn),
        at_(std::size_t{expert} * shape.ffn * shape.hidden),
        count_(scratch.tokens.size()),
        scratch_(scratch),
        back_(back) {
    back.d_y.resize(count_ * hidden_);
    back.d_activated.resize(count_ * ffn_);
  }

  /// d_y of every row is its share of d_out; what the share itself is worth goes to d_shares.
  void through_shares(const float* d_out, std::size_t n_experts) {
    for (std::size_t i = 0; i < count_; ++i) {
      const std::size_t row = scratch_.tokens[i];
      const float* gradient = d_out + row * hidden_;
      const float share = scratch_.shares[row * n_experts + expert_];
      back_.d_shares[row * n_experts + expert_] =
          static_cast<float>(dot(gradient, scratch_.y.data() + i * hidden_, hidden_));
      for (std::size_t j = 0; j < hidden_; ++j) back_.d_y[i * hidden_ + j] = share * gradient[j];
    }
  }

  void through_products(WeightGradients& gradients, float* d_x) {
    const MatrixView<const float> d_y = {back_.d_y.data(), count_, hidden_, hidden_};
    const float* down = experts_.down.data() + at_;
    gradients.pass({"ffn_down_exps.weight", expert_, down, hidden_, ffn_},
                   {scratch_.activated.data(), count_, ffn_, ffn_}, d_y);
    multiply(d_y, {down, hidden_, ffn_, ffn_}, {back_.d_activated.data(), count_, ffn_, ffn_});
    activation_backward(shape_, scratch_.gate_up.data(), back_.d_activated.data(), count_);
    through("ffn_gate_exps.weight", experts_.gate, scratch_.gate_up.data(), gradients, Product::replace);
    through("ffn_up_exps.weight", experts_.up, scratch_.gate_up.data() + ffn_, gradients, Product::add);
    for (std::size_t i = 0; i < count_; ++i) {
      const float* from = back_.d_y.data() + i * hidden_;
      float* to = d_x + scratch_.tokens[i] * hidden_;
      for (std::size_t j = 0; j < hidden_; ++j) to[j] += from[j];
    }
  }

 private:
  /// d_y, no longer needed, holds the gradient of the rows that came in.
  void through(std::string_view name, const Values& all, const float* gradient, WeightGradients& gradients,
               Product product) {
    const float* weights = all.data() + at_;
    const MatrixView<const float> d_out = {gradient, count_, ffn_, 2 * ffn_};
    gradients.pass({name, expert_, weights, ffn_, hidden_}, {scratch_.x.data(), count_, hidden_, hidden_},
                   d_out);
    multiply(d_out, {weights, ffn_, hidden_, hidden_}, {back_.d_y.data(), count_, hidden_, hidden_}, product);
  }

  const LayerShape& shape_;
  const Experts& experts_;
  const std::uint32_t expert_;
  const std::size_t hidden_, ffn_, at_, count_;
  ExpertScratch& scratch_;
  ExpertBackwardScratch& back_;
};

}  // namespace

void experts_backward(const LayerShape& shape, const Layer& layer, const float* x, std::size_t rows,
                      const float* d_out, WeightGradients& gradients, float* d_x, ExpertScratch& scratch,
                      ExpertBackwardScratch& back) {
  const std::size_t n_experts = shape.experts.experts, hidden = shape.hidden;
  const LayerShape of_expert = shape_of_expert(shape);
  back.d_shares.assign(rows * n_experts, 0.0F);
  route(shape, layer, x, rows, &multiply_transposed, scratch);
  for (std::uint32_t expert = 0; expert < n_experts; ++expert) {
    gather(shape, expert, x, rows, scratch);
    if (scratch.tokens.empty()) continue;
    run_expert(of_expert, layer, expert, &multiply_transposed, {}, scratch);
    ExpertBackward pass(of_expert, layer, expert, scratch, back);
    pass.through_shares(d_out, n_experts);
    pass.through_products(gradients, d_x);
  }
  for (std::size_t row = 0; row < rows; ++row) {
    const std::size_t at = row * n_experts;
    router_backward(shape.experts, std::span(scratch.logits).subspan(at, n_experts),
                    std::span(scratch.shares).subspan(at, n_experts),
                    std::span(back.d_shares).subspan(at, n_experts));
  }
  multiply({back.d_shares.data(), rows, n_experts, n_experts},
           {layer.experts->router.data(), n_experts, hidden, hidden}, {d_x, rows, hidden, hidden},
           Product::add);
}

void shared_gate_backward(const Layer& layer, const float* x, std::size_t rows, const float* product,
                          const float* d_out, float* d_x) {
  const std::vector<float>& gate = layer.experts->shared_gate;
  const std::size_t hidden = gate.size();
  for (std::size_t row = 0; row < rows; ++row) {
    const std::size_t at = row * hidden;
    const double share = shared_share(gate, x + at);
    const double d_share = dot(d_out + at, product + at, hidden);
    const auto d_logit = static_cast<float>(d_share * share * (1 - share));
    for (std::size_t j = 0; j < hidden; ++j) d_x[at + j] += d_logit * gate[j];
  }
}

std::uint64_t backward_scratch_values(const LayerShape& shape, std::size_t rows) noexcept {
  return rows * (shape.experts.experts + shape.hidden + shape.experts.ffn);
}

}  // namespace llmq::torch_pass
