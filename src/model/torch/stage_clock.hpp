// Where the time of a layer goes, over all threads. Two clock readings a stage of some milliseconds: free.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>

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
  void skip() noexcept { last_ = Clock::now(); }

 private:
  using Clock = std::chrono::steady_clock;
  void charge(std::size_t stage) noexcept {
    const Clock::time_point now = Clock::now();
    totals_.nanoseconds_[stage] += std::chrono::duration_cast<std::chrono::nanoseconds>(now - last_).count();
    last_ = now;
  }
  StageTotals& totals_;
  Clock::time_point last_ = Clock::now();
};

}  // namespace llmq::torch_pass
