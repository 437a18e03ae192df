#include "model/torch/experts.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace llmq::torch_pass {
namespace {

/// Logits of one token become the shares of its experts, 0 for those it is not given to.
void choose(const ExpertShape& shape, std::span<const float> logits, std::span<float> shares,
            std::vector<std::uint32_t>& order) {
  const float top = *std::max_element(logits.begin(), logits.end());
  double all = 0;
  for (std::size_t e = 0; e < logits.size(); ++e) {
    shares[e] = static_cast<float>(std::exp(static_cast<double>(logits[e]) - static_cast<double>(top)));
    all += static_cast<double>(shares[e]);
  }
  order.resize(logits.size());
  std::iota(order.begin(), order.end(), std::uint32_t{0});
  // Equal ones in their order: the choice does not hang on how a library sorts.
  std::stable_sort(order.begin(), order.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return logits[a] > logits[b]; });
  double chosen = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (i >= shape.used) shares[order[i]] = 0;
    chosen += static_cast<double>(shares[order[i]]);
  }
  const double sum = shape.normed_shares ? chosen : all;
  for (float& share : shares) share = static_cast<float>(static_cast<double>(share) / sum);
}

/// Rows that have a share in an expert, side by side.
void gather(const ExpertShape& shape, std::size_t expert, const float* x, std::size_t rows,
            std::size_t hidden, ExpertScratch& scratch) {
  scratch.tokens.clear();
  for (std::size_t row = 0; row < rows; ++row) {
    if (scratch.shares[row * shape.experts + expert] > 0)
      scratch.tokens.push_back(static_cast<std::uint32_t>(row));
  }
  scratch.x.resize(scratch.tokens.size() * hidden);
  for (std::size_t i = 0; i < scratch.tokens.size(); ++i)
    std::copy_n(x + scratch.tokens[i] * hidden, hidden, scratch.x.data() + i * hidden);
}

}  // namespace

void add_experts(const LayerShape& shape, const Layer& layer, const float* x, std::size_t rows, float* out,
                 Multiply multiply, const MatmulObserver& observer, ExpertScratch& scratch) {
  const ExpertShape& experts = shape.experts;
  const std::size_t hidden = shape.hidden, ffn = experts.ffn;
  scratch.logits.resize(rows * experts.experts);
  scratch.shares.resize(rows * experts.experts);
  multiply({x, rows, hidden, hidden}, {layer.experts->router.data(), experts.experts, hidden, hidden},
           {scratch.logits.data(), rows, experts.experts, experts.experts}, Product::replace);
  for (std::size_t row = 0; row < rows; ++row)
    choose(experts, std::span(scratch.logits).subspan(row * experts.experts, experts.experts),
           std::span(scratch.shares).subspan(row * experts.experts, experts.experts), scratch.order);
  LayerShape of_expert = shape;
  of_expert.ffn = ffn;
  for (std::size_t expert = 0; expert < experts.experts; ++expert) {
    gather(experts, expert, x, rows, hidden, scratch);
    const std::size_t count = scratch.tokens.size();
    if (count == 0) continue;
    const auto index = static_cast<std::uint32_t>(expert);
    if (observer) observer({MatmulInput::experts, index, scratch.x, hidden});
    scratch.gate_up.resize(count * 2 * ffn);
    scratch.activated.resize(count * ffn);
    scratch.y.resize(count * hidden);
    const std::size_t at = expert * ffn * hidden;
    multiply({scratch.x.data(), count, hidden, hidden},
             {layer.experts->gate.data() + at, ffn, hidden, hidden},
             {scratch.gate_up.data(), count, ffn, 2 * ffn}, Product::replace);
    multiply({scratch.x.data(), count, hidden, hidden}, {layer.experts->up.data() + at, ffn, hidden, hidden},
             {scratch.gate_up.data() + ffn, count, ffn, 2 * ffn}, Product::replace);
    activate(of_expert, scratch.gate_up.data(), count, scratch.activated.data());
    if (observer) observer({MatmulInput::experts_down, index, scratch.activated, ffn});
    multiply({scratch.activated.data(), count, ffn, ffn}, {layer.experts->down.data() + at, hidden, ffn, ffn},
             {scratch.y.data(), count, hidden, hidden}, Product::replace);
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t row = scratch.tokens[i];
      const float share = scratch.shares[row * experts.experts + expert];
      for (std::size_t j = 0; j < hidden; ++j) out[row * hidden + j] += share * scratch.y[i * hidden + j];
    }
  }
}

void gate_shared_expert(const Layer& layer, const float* x, std::size_t rows, float* product) {
  const std::vector<float>& gate = layer.experts->shared_gate;
  for (std::size_t row = 0; row < rows; ++row, x += gate.size(), product += gate.size()) {
    double sum = 0;
    for (std::size_t j = 0; j < gate.size(); ++j)
      sum += static_cast<double>(gate[j]) * static_cast<double>(x[j]);
    const auto share = static_cast<float>(1 / (1 + std::exp(-sum)));
    for (std::size_t j = 0; j < gate.size(); ++j) product[j] *= share;
  }
}

std::uint64_t scratch_values(const LayerShape& shape, std::size_t rows) noexcept {
  return rows * (2 * shape.experts.experts + 2 * shape.hidden + 3 * shape.experts.ffn);
}

}  // namespace llmq::torch_pass
