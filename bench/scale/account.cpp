#include "scale/account.hpp"

#include <algorithm>
#include <utility>

namespace llmq::scale {

std::string_view cause_name(Cause cause) noexcept {
  constexpr std::array<std::string_view, kCauses> names = {"compute",  "file system", "network",
                                                           "start-up", "rank 0",      "imbalance"};
  return names[static_cast<std::size_t>(cause)];
}

Phase plain_phase(std::string name, Cause cause, double seconds) {
  Phase phase{std::move(name), seconds, {}};
  phase.shares[static_cast<std::size_t>(cause)] = 1;
  return phase;
}

Phase mixed_phase(std::string name, double seconds, double workers, const ByCause& busy) {
  Phase phase{std::move(name), seconds, {}};
  const double all = seconds * workers;
  if (!(all > 0)) return phase;
  double sum = 0;
  for (const double part : busy) sum += part;
  double rest = 1;
  for (std::size_t cause = 0; cause < kCauses; ++cause) {
    phase.shares[cause] =
        busy[cause] / std::max(all, sum);  // helpers on idle cores may add more than the workers
    rest -= phase.shares[cause];
  }
  phase.shares[static_cast<std::size_t>(Cause::imbalance)] += std::max(0.0, rest);
  return phase;
}

double Prediction::seconds() const noexcept {
  double sum = 0;
  for (const Phase& phase : phases) sum += phase.seconds;
  return sum;
}

double Prediction::seconds_of(std::string_view name) const noexcept {
  double sum = 0;
  for (const Phase& phase : phases) sum += phase.name == name ? phase.seconds : 0.0;
  return sum;
}

ByCause Prediction::shares() const noexcept {
  ByCause sum{};
  const double all = seconds();
  if (!(all > 0)) return sum;
  for (const Phase& phase : phases) {
    for (std::size_t cause = 0; cause < kCauses; ++cause)
      sum[cause] += phase.shares[cause] * phase.seconds / all;
  }
  return sum;
}

Cause Prediction::mostly() const noexcept {
  const ByCause all = shares();
  return static_cast<Cause>(std::max_element(all.begin(), all.end()) - all.begin());
}

}  // namespace llmq::scale
