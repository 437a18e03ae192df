// What the kernel benchmarks share. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <benchmark/benchmark.h>
#include <cstddef>
#include <dlfcn.h>
#include <random>
#include <string>
#include <vector>

#include "model/torch/matmul.hpp"
#include "support/every_target.hpp"

namespace llmq::bench {

inline std::vector<float> normal_values(std::size_t count) {
  std::mt19937 random(1);
  std::normal_distribution<float> draw(0, 1);
  std::vector<float> values(count);
  for (float& value : values) value = draw(random);
  return values;
}

/// The BLAS that libtorch would bring along.
inline void load_blas() {
  ::dlopen("libblas.so.3", RTLD_NOW | RTLD_GLOBAL);
  benchmark::AddCustomContext("blas", torch_pass::open_blas());
}

/// Runs the loop once for every instruction set: argument 0 of the benchmark is the place in the list, best
/// first.
class Target {
 public:
  explicit Target(benchmark::State& state) {
    const std::int64_t target =
        hwy::SupportedAndGeneratedTargets().at(static_cast<std::size_t>(state.range(0)));
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    state.SetLabel(hwy::TargetName(target));
  }
  ~Target() {
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;
};

inline void every_target(benchmark::internal::Benchmark* benchmark) {
  const auto count = static_cast<std::int64_t>(hwy::SupportedAndGeneratedTargets().size());
  benchmark->DenseRange(0, count - 1);
}

inline void count_flops(benchmark::State& state, double flops) {
  state.counters["GF/s"] = benchmark::Counter(flops * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}
inline void count_values(benchmark::State& state, std::size_t values) {
  state.counters["Gvalues/s"] =
      benchmark::Counter(static_cast<double>(values) * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

}  // namespace llmq::bench
