#include "hub/patience.hpp"

#include <algorithm>
#include <thread>

namespace llmq::hub {
namespace {

constexpr double kFirstPause = 0.5;
constexpr double kLongestPause = 16;
constexpr double kLongestServerPause = 300;
constexpr int kMostServerPauses = 4;
constexpr auto kGlance = std::chrono::milliseconds(50);

std::chrono::steady_clock::duration to_duration(double seconds) {
  return std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double>(seconds));
}

}  // namespace

Patience::Patience(double seconds, std::function<bool()> stop) : seconds_(seconds), stop_(std::move(stop)) {
  refresh();
}

void Patience::refresh() {
  deadline_ = Clock::now() + to_duration(seconds_);
  pause_ = kFirstPause;
  pauses_of_server_ = 0;
}

bool Patience::wait(std::optional<std::uint64_t> retry_after_seconds) {
  if (retry_after_seconds && pauses_of_server_ < kMostServerPauses) {
    ++pauses_of_server_;
    const double pause =
        std::clamp(static_cast<double>(*retry_after_seconds), kFirstPause, kLongestServerPause);
    deadline_ += to_duration(pause);
    return sleep(pause);
  }
  const double left = std::chrono::duration<double>(deadline_ - Clock::now()).count();
  if (left <= 0) return false;
  const double pause = std::min(pause_, left);
  pause_ = std::min(2 * pause_, kLongestPause);
  return sleep(pause);
}

bool Patience::sleep(double seconds) const {
  const Clock::time_point end = Clock::now() + to_duration(seconds);
  while (Clock::now() < end) {
    if (stop_()) return false;
    std::this_thread::sleep_for(std::min<Clock::duration>(kGlance, end - Clock::now()));
  }
  return !stop_();
}

}  // namespace llmq::hub
