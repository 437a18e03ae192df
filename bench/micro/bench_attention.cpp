// How near does the attention of one layer and sample come to the speed of a large product? GF/s count the
// causal half only: 2 x 2 x head_dim x tokens (tokens + 1) / 2 operations a head. Arguments: tokens, heads,
// key heads, head_dim.
#include "bench_support.hpp"
#include "model/torch/attention.hpp"

namespace {
using namespace llmq;
using namespace llmq::torch_pass;

void attention_of_a_layer(benchmark::State& state) {
  bench::load_blas();
  const AttentionShape shape{
      static_cast<std::size_t>(state.range(0)), static_cast<std::size_t>(state.range(1)),
      static_cast<std::size_t>(state.range(2)), static_cast<std::size_t>(state.range(3))};
  const Rope rope(std::vector<float>(shape.head_dim / 2, 0.01F), shape.tokens);
  std::vector<float> qkv = bench::normal_values(shape.tokens * shape.qkv_width());
  std::vector<float> out(shape.tokens * shape.heads * shape.head_dim);
  AttentionScratch scratch;
  for (auto _ : state) attention(shape, rope, qkv.data(), out.data(), scratch);
  const auto tokens = static_cast<double>(shape.tokens);
  bench::count_flops(state, 2 * tokens * (tokens + 1) * static_cast<double>(shape.heads * shape.head_dim));
}
BENCHMARK(attention_of_a_layer)
    ->ArgNames({"tokens", "heads", "kv_heads", "head_dim"})
    ->Args({512, 16, 4, 64})
    ->Args({512, 16, 16, 64})
    ->Args({512, 32, 8, 128})
    ->Args({2048, 32, 8, 128})
    ->Unit(benchmark::kMillisecond);

}  // namespace
