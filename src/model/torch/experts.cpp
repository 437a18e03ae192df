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

/// gate_up and activated of some rows.
void run_gate_and_up(const LayerShape& of_expert, const Layer& layer, std::size_t expert, const float* x,
                     std::size_t count, Multiply multiply, ExpertScratch& scratch) {
  const std::size_t hidden = of_expert.hidden, ffn = of_expert.ffn, at = expert * ffn * hidden;
  scratch.gate_up.resize(count * 2 * ffn);
  scratch.activated.resize(count * ffn);
  multiply({x, count, hidden, hidden}, {layer.experts->gate.data() + at, ffn, hidden, hidden},
           {scratch.gate_up.data(), count, ffn, 2 * ffn}, Product::replace);
  multiply({x, count, hidden, hidden}, {layer.experts->up.data() + at, ffn, hidden, hidden},
           {scratch.gate_up.data() + ffn, count, ffn, 2 * ffn}, Product::replace);
  activate(of_expert, scratch.gate_up.data(), count, scratch.activated.data());
}

/// y of the activated rows.
void run_down(const LayerShape& of_expert, const Layer& layer, std::size_t expert, Multiply multiply,
              ExpertScratch& scratch) {
  const std::size_t hidden = of_expert.hidden, ffn = of_expert.ffn, count = scratch.tokens.size();
  scratch.y.resize(count * hidden);
  multiply({scratch.activated.data(), count, ffn, ffn},
           {layer.experts->down.data() + expert * ffn * hidden, hidden, ffn, ffn},
           {scratch.y.data(), count, hidden, hidden}, Product::replace);
}

void show(const MatmulObserver& observer, MatmulInput input, std::size_t expert, std::span<const float> x,
          std::size_t in_features) {
  if (observer && !x.empty()) observer({input, static_cast<std::uint32_t>(expert), x, in_features});
}

/// Runs an expert on all rows and shows them; y is that of its own.
void run_all(const LayerShape& of_expert, const Layer& layer, std::size_t expert, const float* x,
             std::size_t rows, Multiply multiply, const MatmulObserver& inputs, ExpertScratch& scratch) {
  const std::size_t ffn = of_expert.ffn;
  show(inputs, MatmulInput::experts, expert, {x, rows * of_expert.hidden}, of_expert.hidden);
  run_gate_and_up(of_expert, layer, expert, x, rows, multiply, scratch);
  show(inputs, MatmulInput::experts_down, expert, scratch.activated, ffn);
  for (std::size_t i = 0; i < scratch.tokens.size(); ++i)  // tokens rise: no row is overwritten too early
    std::copy_n(scratch.activated.data() + scratch.tokens[i] * ffn, ffn, scratch.activated.data() + i * ffn);
  run_down(of_expert, layer, expert, multiply, scratch);
}

}  // namespace

LayerShape shape_of_expert(const LayerShape& shape) noexcept {
  LayerShape of_expert = shape;
  of_expert.ffn = shape.experts.ffn;
  return of_expert;
}

void route(const LayerShape& shape, const Layer& layer, const float* x, std::size_t rows, Multiply multiply,
           ExpertScratch& scratch) {
  const std::size_t experts = shape.experts.experts, hidden = shape.hidden;
  scratch.logits.resize(rows * experts);
  scratch.shares.resize(rows * experts);
  multiply({x, rows, hidden, hidden}, {layer.experts->router.data(), experts, hidden, hidden},
           {scratch.logits.data(), rows, experts, experts}, Product::replace);
  for (std::size_t row = 0; row < rows; ++row)
    choose(shape.experts, std::span(scratch.logits).subspan(row * experts, experts),
           std::span(scratch.shares).subspan(row * experts, experts), scratch.order);
}

void gather(const LayerShape& shape, std::size_t expert, const float* x, std::size_t rows,
            ExpertScratch& scratch) {
  const std::size_t hidden = shape.hidden;
  scratch.tokens.clear();
  for (std::size_t row = 0; row < rows; ++row) {
    if (scratch.shares[row * shape.experts.experts + expert] > 0)
      scratch.tokens.push_back(static_cast<std::uint32_t>(row));
  }
  scratch.x.resize(scratch.tokens.size() * hidden);
  for (std::size_t i = 0; i < scratch.tokens.size(); ++i)
    std::copy_n(x + scratch.tokens[i] * hidden, hidden, scratch.x.data() + i * hidden);
}

void run_expert(const LayerShape& of_expert, const Layer& layer, std::size_t expert, Multiply multiply,
                const MatmulObserver& inputs, ExpertScratch& scratch) {
  show(inputs, MatmulInput::experts, expert, scratch.x, of_expert.hidden);
  run_gate_and_up(of_expert, layer, expert, scratch.x.data(), scratch.tokens.size(), multiply, scratch);
  show(inputs, MatmulInput::experts_down, expert, scratch.activated, of_expert.ffn);
  run_down(of_expert, layer, expert, multiply, scratch);
}

void add_experts(const LayerShape& shape, const Layer& layer, const float* x, std::size_t rows, float* out,
                 Multiply multiply, const ExpertObservers& observers, ExpertScratch& scratch) {
  const std::size_t hidden = shape.hidden, experts = shape.experts.experts;
  const LayerShape of_expert = shape_of_expert(shape);
  const bool all = observers.watched == ExpertTokens::all;
  route(shape, layer, x, rows, multiply, scratch);
  for (std::size_t expert = 0; expert < experts; ++expert) {
    gather(shape, expert, x, rows, scratch);
    if (all) run_all(of_expert, layer, expert, x, rows, multiply, observers.inputs, scratch);
    if (scratch.tokens.empty()) continue;
    if (!all) run_expert(of_expert, layer, expert, multiply, observers.inputs, scratch);
    if (observers.down_product) observers.down_product(scratch.y, hidden);
    for (std::size_t i = 0; i < scratch.tokens.size(); ++i) {
      const std::size_t row = scratch.tokens[i];
      const float share = scratch.shares[row * experts + expert];
      for (std::size_t j = 0; j < hidden; ++j) out[row * hidden + j] += share * scratch.y[i * hidden + j];
    }
  }
}

double shared_share(const std::vector<float>& gate, const float* x) {
  double sum = 0;
  for (std::size_t j = 0; j < gate.size(); ++j)
    sum += static_cast<double>(gate[j]) * static_cast<double>(x[j]);
  return 1 / (1 + std::exp(-sum));
}

void gate_shared_expert(const Layer& layer, const float* x, std::size_t rows, float* product) {
  const std::vector<float>& gate = layer.experts->shared_gate;
  for (std::size_t row = 0; row < rows; ++row, x += gate.size(), product += gate.size()) {
    const auto share = static_cast<float>(shared_share(gate, x));
    for (std::size_t j = 0; j < gate.size(); ++j) product[j] *= share;
  }
}

std::uint64_t scratch_values(const LayerShape& shape, std::size_t rows) noexcept {
  return rows * (2 * shape.experts.experts + 2 * shape.hidden + 3 * shape.experts.ffn);
}

}  // namespace llmq::torch_pass
