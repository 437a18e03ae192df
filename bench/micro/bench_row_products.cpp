// How near does a product of a few rows come to what binds it: reading the weights once (GB/s, few rows), or
// the arithmetic (GF/s, many)? The matrix is larger than the caches; every instruction set. Beside it the
// BLAS, whose bits depend on the number of rows, and the plain reading of the same bytes.
#include <numeric>

#include "bench_support.hpp"
#include "model/torch/row_products.hpp"

namespace {
using namespace llmq;
using namespace llmq::torch_pass;

constexpr std::size_t kIn = 2048;
constexpr std::size_t kOut = 8192;  // 64 MiB of weights

void count(benchmark::State& state, std::size_t rows) {
  bench::count_flops(state, 2.0 * static_cast<double>(rows * kIn * kOut));
  state.counters["GB/s"] = benchmark::Counter(static_cast<double>(kIn * kOut) * sizeof(float) * 1e-9,
                                              benchmark::Counter::kIsIterationInvariantRate);
}

void rows_by_weights(benchmark::State& state) {
  const bench::Target target(state);
  const auto rows = static_cast<std::size_t>(state.range(1));
  const std::vector<float> x = bench::normal_values(rows * kIn), w = bench::normal_values(kIn * kOut);
  std::vector<float> y(rows * kOut);
  for (auto _ : state) {
    multiply_rows({x.data(), rows, kIn, kIn}, {w.data(), kOut, kIn, kIn}, {y.data(), rows, kOut, kOut},
                  Product::replace);
  }
  count(state, rows);
}
BENCHMARK(rows_by_weights)
    ->ArgNames({"target", "rows"})
    ->ArgsProduct({benchmark::CreateDenseRange(
                       0, static_cast<std::int64_t>(hwy::SupportedAndGeneratedTargets().size()) - 1, 1),
                   {1, 2, 4, 8, 16, 32, 128}})
    ->Unit(benchmark::kMillisecond);

void blas(benchmark::State& state) {
  bench::load_blas();
  const auto rows = static_cast<std::size_t>(state.range(0));
  const std::vector<float> x = bench::normal_values(rows * kIn), w = bench::normal_values(kIn * kOut);
  std::vector<float> y(rows * kOut);
  for (auto _ : state) {
    multiply_transposed({x.data(), rows, kIn, kIn}, {w.data(), kOut, kIn, kIn}, {y.data(), rows, kOut, kOut},
                        Product::replace);
  }
  count(state, rows);
}
BENCHMARK(blas)->ArgName("rows")->Arg(1)->Arg(8)->Arg(32)->Arg(128)->Unit(benchmark::kMillisecond);

void reading(benchmark::State& state) {
  const std::vector<float> w = bench::normal_values(kIn * kOut);
  const auto* words = reinterpret_cast<const std::uint64_t*>(w.data());
  for (auto _ : state)
    benchmark::DoNotOptimize(std::accumulate(words, words + w.size() / 2, std::uint64_t{0}));
  count(state, 0);
}
BENCHMARK(reading)->Unit(benchmark::kMillisecond);

}  // namespace
