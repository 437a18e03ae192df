// What is the limit? A large product, then the products of a layer (hidden 1024, 16 + 2 x 4 heads of 64, ffn
// 2816).
#include "bench_support.hpp"

namespace {
using namespace llmq;
using namespace llmq::torch_pass;

void product(benchmark::State& state) {
  bench::load_blas();
  const auto m = static_cast<std::size_t>(state.range(0));
  const auto n = static_cast<std::size_t>(state.range(1));
  const auto k = static_cast<std::size_t>(state.range(2));
  const std::vector<float> x = bench::normal_values(m * k);
  const std::vector<float> w = bench::normal_values(n * k);
  std::vector<float> y(m * n);
  for (auto _ : state) {
    multiply_transposed({x.data(), m, k, k}, {w.data(), n, k, k}, {y.data(), m, n, n}, Product::replace);
  }
  bench::count_flops(state, 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k));
}
BENCHMARK(product)
    ->ArgNames({"rows", "out", "in"})
    ->Args({2048, 2048, 2048})
    ->Args({512, 1536, 1024})
    ->Args({512, 1024, 1024})
    ->Args({512, 5632, 1024})
    ->Args({512, 1024, 2816})
    ->Unit(benchmark::kMillisecond);

}  // namespace
