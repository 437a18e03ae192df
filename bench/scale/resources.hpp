// What simulated threads queue for: cores of a node, and pipes with a rate. Both serve in order of arrival,
// so they must be asked in order of time. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <queue>
#include <vector>

namespace llmq::scale {

/// Cores of one node. A burst keeps its core to its end: right for the sum over many bursts.
class CorePool {
 public:
  /// @param cores  1.5: two cores at three quarters of their speed
  explicit CorePool(double cores) : stretch_(std::ceil(cores) / cores) {
    for (double core = 0; core < cores; core += 1) free_.push(0.0);
  }
  /// End of a burst of `seconds` that is ready at `now`.
  double run(double now, double seconds) {
    const double start = std::max(now, free_.top());
    free_.pop();
    const double end = start + seconds * stretch_;
    free_.push(end);
    return end;
  }

 private:
  double stretch_;
  std::priority_queue<double, std::vector<double>, std::greater<>> free_;
};

/// A link, a file system, or one thread that serves others: `rate` a second, one after the other.
class Pipe {
 public:
  explicit Pipe(double rate) : rate_(rate) {}
  /// End of a transfer of `amount` that is ready at `now`.
  double pass(double now, double amount) {
    free_ = std::max(now, free_) + amount / rate_;
    return free_;
  }

 private:
  double rate_;
  double free_ = 0;
};

}  // namespace llmq::scale
