// Where the CPU time of a layer goes, over all threads. A clock reading for a stage of some milliseconds:
// free. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "llmq/core/thread_clock.hpp"
#include "llmq/model/forward.hpp"

namespace llmq::torch_pass {

/// Totals of all threads.
class StageTotals {
 public:
  StageSeconds seconds() const noexcept {
    const auto of = [&](std::size_t stage) { return static_cast<double>(nanoseconds_[stage].load()) * 1e-9; };
    return {of(0), of(1), of(2)};
  }

 private:
  friend class StageClock;
  std::array<std::atomic<std::int64_t>, 3> nanoseconds_{};
};

/// One sample's walk through the stages: each call charges the time since the last one.
class StageClock {
 public:
  explicit StageClock(StageTotals& totals) : totals_(totals) {}
  void matmul() noexcept { charge(0); }
  void attention() noexcept { charge(1); }
  void elementwise() noexcept { charge(2); }
  /// Time since the last call belongs to someone else.
  void skip() noexcept { last_ = thread_cpu_nanoseconds(); }

 private:
  void charge(std::size_t stage) noexcept {
    const std::int64_t now = thread_cpu_nanoseconds();
    totals_.nanoseconds_[stage] += now - last_;
    last_ = now;
  }
  StageTotals& totals_;
  std::int64_t last_ = thread_cpu_nanoseconds();
};

}  // namespace llmq::torch_pass
