// Where the wall time of a predicted run goes. Every phase ends with all ranks together, so phases add up;
// inside a phase each thread-second has one cause. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace llmq::scale {

enum class Cause : std::size_t {
  compute,
  file_system,
  network,
  start_up,   ///< launcher, MPI, and what every rank repeats before the work: model heads, plan, tokens
  root,       ///< rank 0 works, the others wait
  imbalance,  ///< nothing to do for this thread while others work
};
inline constexpr std::size_t kCauses = 6;
std::string_view cause_name(Cause cause) noexcept;

/// Thread-seconds by cause.
using ByCause = std::array<double, kCauses>;

struct Phase {
  std::string name;
  double seconds = 0;
  ByCause shares{};  ///< sum 1, or all 0 for a phase of no length
};

/// A phase with one cause.
Phase plain_phase(std::string name, Cause cause, double seconds);
/// A phase of `workers` threads; what is missing to workers x seconds is imbalance.
Phase mixed_phase(std::string name, double seconds, double workers, const ByCause& busy);

struct Prediction {
  std::vector<Phase> phases;
  double seconds() const noexcept;
  double seconds_of(std::string_view phase) const noexcept;
  /// Shares of the whole, sum 1.
  ByCause shares() const noexcept;
  /// The largest share: what threads spend their time with. It need not be what binds (report.hpp).
  Cause mostly() const noexcept;
};

}  // namespace llmq::scale
