// What does collecting the statistics of one input of one sample cost, on each instruction set? Fixed point
// included.
#include "llmq/importance/accumulator.hpp"

#include "bench_support.hpp"

namespace {
using namespace llmq;

void statistics_of_a_sample(benchmark::State& state) {
  const bench::Target target(state);
  constexpr std::size_t kTokens = 512, kColumns = 2816;
  const std::vector<float> x = bench::normal_values(kTokens * kColumns);
  InputAccumulator accumulator(kColumns);
  for (auto _ : state) accumulator.add_sample(x);
  bench::count_values(state, x.size());
}
BENCHMARK(statistics_of_a_sample)->Apply(bench::every_target)->Unit(benchmark::kMicrosecond);

}  // namespace
