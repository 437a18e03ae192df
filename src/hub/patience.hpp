// How long to try again, and when. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>

namespace llmq::hub {

/// Pauses that double from half a second to sixteen; at an end when nothing has come for `seconds`. A server
/// that names its own pause (Retry-After) gets it, up to five minutes, a few times.
class Patience {
 public:
  Patience(double seconds, std::function<bool()> stop);

  /// Something has come: all patience is back.
  void refresh();
  /// Sleeps before another try. @returns false when there is to be none.
  bool wait(std::optional<std::uint64_t> retry_after_seconds);

 private:
  using Clock = std::chrono::steady_clock;
  bool sleep(double seconds) const;

  double seconds_;
  std::function<bool()> stop_;
  Clock::time_point deadline_;
  double pause_;
  int pauses_of_server_ = 0;
};

}  // namespace llmq::hub
