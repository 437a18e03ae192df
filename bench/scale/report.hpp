// Predictions as text. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "scale/account.hpp"
#include "scale/run_start.hpp"

namespace llmq::scale {

using Predict = std::function<Prediction(const Scene&)>;

/// What binds: the whole run's time saved if a part of the machine were twice as fast.
struct Gain {
  std::string_view part;  ///< "cores", "file system", "network", "launch"
  double share = 0;       ///< of the run's seconds
};
/// Largest gain first. Threads without work show as no gain of any part.
std::vector<Gain> twice_as_fast(const Scene& scene, const Predict& predict);
std::string describe(const std::vector<Gain>& gains);

/// "1234.5 s | compute 71 % ..." in one line: where the time of threads goes.
std::string summary(const Prediction& prediction);
/// One line a phase that takes 0.1 % or more.
std::string phase_table(const Prediction& prediction);
std::string describe(const Machine& machine);
std::string describe(const Layout& layout);

}  // namespace llmq::scale
