// What the threads of each rank did when: reading, computing, writing, or waiting for somebody. Kept in a
// bounded number of slices whose width doubles when a run outgrows them, so that ten hours cost no more than
// ten seconds. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "llmq/comm/communicator.hpp"

namespace llmq {

enum class Activity : std::size_t { read, compute, write };
inline constexpr std::size_t kActivities = 3;

/// Thread-seconds of one rank. Waiting is what is left of threads x time.
struct RankTimeline {
  std::uint32_t rank = 0;
  std::uint32_t node = 0;  ///< nodes are numbered by their lowest rank
  std::uint32_t threads = 1;
  double seconds = 0;        ///< wall time covered
  double slice_seconds = 0;  ///< equal on all ranks of a gathered set
  std::vector<std::array<double, kActivities>> slices;

  double total(Activity activity) const noexcept;
  double wait() const noexcept;
  /// One letter a slice, for what most of its time went to: r, c, w, or . for waiting.
  std::string letters() const;
};

class Timeline {
 public:
  using Clock = std::chrono::steady_clock;

  /// Starts the clock.
  explicit Timeline(std::size_t threads);
  /// Thread-safe.
  void add(Activity activity, Clock::time_point begin, Clock::time_point end);
  /// Collective: rank 0 gets every rank's in rank order, cut into slices of one width; the others nothing.
  std::vector<RankTimeline> gather(const Communicator& comm) const;

 private:
  mutable std::mutex mutex_;
  std::size_t threads_;
  Clock::time_point start_;
  double slice_seconds_;
  std::vector<std::array<double, kActivities>> slices_;
};

/// Adds the life of a scope to a timeline.
class TimelineScope {
 public:
  TimelineScope(Timeline& timeline, Activity activity)
      : timeline_(timeline), activity_(activity), begin_(Timeline::Clock::now()) {}
  ~TimelineScope() { timeline_.add(activity_, begin_, Timeline::Clock::now()); }
  TimelineScope(const TimelineScope&) = delete;
  TimelineScope& operator=(const TimelineScope&) = delete;

 private:
  Timeline& timeline_;
  Activity activity_;
  Timeline::Clock::time_point begin_;
};

class Log;
/// Rank 0, --verbosity debug: one line a rank.
void log_timelines(Log& log, const std::vector<RankTimeline>& timelines);

}  // namespace llmq
