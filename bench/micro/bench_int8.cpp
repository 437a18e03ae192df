// What does an int8 product gain over sgemm of the same shape, and how near does it come to the machine's
// limit? A round runs everything once in turn, so that all see the same clock; a figure is the fastest of
// the rounds, by the thread's CPU time. GMAC/s: multiply-adds, of 2 operations each.
#include <algorithm>

#include "llmq/core/thread_clock.hpp"

#include "bench_support.hpp"
#include "micro/peaks.hpp"
#include "quant/int8/product.hpp"

namespace {
using namespace llmq;

/// Speed of the fastest call.
class Best {
 public:
  template <class Work>  // returns multiply-adds
  void run(const Work& work) {
    const std::int64_t start = thread_cpu_nanoseconds();
    const double multiply_adds = work();
    const auto seconds = static_cast<double>(thread_cpu_nanoseconds() - start);
    best_ = std::max(best_, multiply_adds / seconds);
  }
  double gmacs() const { return best_; }

 private:
  double best_ = 0;
};

struct Operands {
  std::size_t m, n, k;
  std::vector<float> x = bench::normal_values(m * k), w = bench::normal_values(n * k),
                     y = std::vector<float>(m * n);
  Int8Rows a{};
  Int8Weights packed = quantized(w, k);

  static Int8Weights quantized(const std::vector<float>& weights, std::size_t in_features) {
    Int8Rows rows;
    quantize_rows_int8(weights, in_features, rows);
    return Int8Weights(rows.codes, rows.scales, in_features);
  }
};

void int8(benchmark::State& state) {
  [[maybe_unused]] static const bool loaded = (bench::load_blas(), true);
  Operands o{static_cast<std::size_t>(state.range(0)), static_cast<std::size_t>(state.range(1)),
             static_cast<std::size_t>(state.range(2))};
  quantize_rows_int8(o.x, o.k, o.a);
  const double multiply_adds = static_cast<double>(o.m) * static_cast<double>(o.n) * static_cast<double>(o.k);
  const auto with = [&](int8::Kernel kernel) {
    return [&o, kernel, multiply_adds] {
      int8::multiply({o.a, o.packed, nullptr, o.y.data(), Int8Output::replace}, kernel);
      return multiply_adds;
    };
  };
  Best f32, pair, quad, sgemm, product, pairs, whole;
  for (auto _ : state) {
    f32.run(&bench::f32_peak);
    pair.run(&bench::pair_peak);
    quad.run(&bench::quad_peak);
    sgemm.run([&] {
      torch_pass::multiply_transposed({o.x.data(), o.m, o.k, o.k}, {o.w.data(), o.n, o.k, o.k},
                                      {o.y.data(), o.m, o.n, o.n}, torch_pass::Product::replace);
      return multiply_adds;
    });
    product.run(with(int8::Kernel::best));
    pairs.run(with(int8::Kernel::pairs));
    whole.run([&] {
      quantize_rows_int8(o.x, o.k, o.a);
      return with(int8::Kernel::best)();
    });
  }
  state.counters["1_peak_f32"] = f32.gmacs();
  state.counters["2_peak_pairs"] = pair.gmacs();
  state.counters["3_peak_quads"] = quad.gmacs();
  state.counters["4_sgemm"] = sgemm.gmacs();
  state.counters["5_int8"] = product.gmacs();
  state.counters["5_int8_quantized"] = whole.gmacs();
  state.counters["5_int8_pairs"] = pairs.gmacs();
  state.counters["6_int8/sgemm"] = product.gmacs() / sgemm.gmacs();
  state.counters["6_quantized/sgemm"] = whole.gmacs() / sgemm.gmacs();
  state.counters["6_pairs/sgemm"] = pairs.gmacs() / sgemm.gmacs();
  state.counters["7_int8/peak_pairs"] = product.gmacs() / pair.gmacs();
  state.counters["7_int8/peak_quads"] = product.gmacs() / quad.gmacs();
  state.counters["7_pairs/peak_pairs"] = pairs.gmacs() / pair.gmacs();
}
BENCHMARK(int8)
    ->ArgNames({"rows", "out", "in"})
    ->Args({512, 1024, 1024})
    ->Args({512, 2816, 1024})
    ->Args({512, 4096, 4096})
    ->Args({512, 11008, 4096})
    ->Unit(benchmark::kMillisecond);

/// With pairs on each instruction set, beside a product of few rows.
void int8_pairs(benchmark::State& state) {
  const bench::Target target(state);
  Operands o{static_cast<std::size_t>(state.range(1)), 1024, 1024};
  quantize_rows_int8(o.x, o.k, o.a);
  for (auto _ : state) {
    int8::multiply({o.a, o.packed, nullptr, o.y.data(), Int8Output::replace}, int8::Kernel::pairs);
  }
  state.counters["GMAC/s"] = benchmark::Counter(static_cast<double>(o.m * o.n * o.k) * 1e-9,
                                                benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(int8_pairs)->ArgNames({"target", "rows"})->Apply([](benchmark::internal::Benchmark* benchmark) {
  const auto targets = static_cast<std::int64_t>(hwy::SupportedAndGeneratedTargets().size());
  benchmark->ArgsProduct({benchmark::CreateDenseRange(0, targets - 1, 1), {512, 8, 1}});
});

}  // namespace
