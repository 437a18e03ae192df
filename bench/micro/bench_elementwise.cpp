// What do the parts between the products cost, on each instruction set? 512 tokens of the model of
// RESULTS.md.
#include "bench_support.hpp"
#include "model/torch/elementwise.hpp"
#include "model/torch/rope.hpp"
#include "model/torch/softmax.hpp"

namespace {
using namespace llmq;
using namespace llmq::torch_pass;

constexpr std::size_t kTokens = 512;
constexpr std::size_t kHidden = 1024;
constexpr std::size_t kFfn = 2816;
constexpr std::size_t kHeadDim = 64;

void norm(benchmark::State& state) {
  const bench::Target target(state);
  const std::vector<float> x = bench::normal_values(kTokens * kHidden),
                           weight = bench::normal_values(kHidden);
  std::vector<float> out(x.size());
  for (auto _ : state) rms_norm(x.data(), weight.data(), 1e-5F, kTokens, kHidden, out.data());
  bench::count_values(state, x.size());
}
BENCHMARK(norm)->Apply(bench::every_target)->Unit(benchmark::kMicrosecond);

void gated_unit(benchmark::State& state) {
  const bench::Target target(state);
  const std::vector<float> gate_up = bench::normal_values(kTokens * 2 * kFfn);
  std::vector<float> out(kTokens * kFfn);
  for (auto _ : state) swiglu(gate_up.data(), kTokens, kFfn, out.data());
  bench::count_values(state, out.size());
}
BENCHMARK(gated_unit)->Apply(bench::every_target)->Unit(benchmark::kMicrosecond);

void softmax(benchmark::State& state) {
  const bench::Target target(state);
  const std::vector<float> fresh = bench::normal_values(64 * kTokens);
  std::vector<float> scores(fresh.size()), inverse_sums(64);
  for (auto _ : state) {
    scores = fresh;  // exponentials of exponentials would soon all be equal
    causal_softmax(scores.data(), 64, kTokens - 63, kTokens, kTokens, 0.125F, inverse_sums.data());
  }
  bench::count_values(state, scores.size());
}
BENCHMARK(softmax)->Apply(bench::every_target)->Unit(benchmark::kMicrosecond);

void rotation(benchmark::State& state) {
  const bench::Target target(state);
  const Rope rope(std::vector<float>(kHeadDim / 2, 0.01F), kTokens);
  const std::vector<float> x = bench::normal_values(kTokens * kHeadDim);
  std::vector<float> out(x.size());
  for (auto _ : state) rope.rotate(x.data(), kHeadDim, 0, kTokens, out.data(), kHeadDim);
  bench::count_values(state, x.size());
}
BENCHMARK(rotation)->Apply(bench::every_target)->Unit(benchmark::kMicrosecond);

}  // namespace
