#include "scale/report.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace llmq::scale {

std::vector<Gain> twice_as_fast(const Scene& scene, const Predict& predict) {
  const double before = predict(scene).seconds();
  std::vector<Gain> gains;
  const auto with = [&](std::string_view part, auto&& change) {
    Machine machine = scene.machine;
    change(machine);
    const double after = predict({scene.costs, machine, scene.layout, scene.shape}).seconds();
    gains.push_back({part, (before - after) / before});
  };
  with("cores", [](Machine& machine) { machine.speed *= 2; });
  with("file system", [](Machine& machine) {
    for (double Machine::*rate :
         {&Machine::fs_rate, &Machine::node_fs_rate, &Machine::stream_fs_rate, &Machine::fs_operations})
      machine.*rate *= 2;
    machine.fs_operation /= 2;
    machine.fs_sync /= 2;
  });
  with("network", [](Machine& machine) {
    machine.net_rate *= 2;
    machine.net_latency /= 2;
  });
  with("launch", [](Machine& machine) { machine.launch_per_node /= 2; });
  std::stable_sort(gains.begin(), gains.end(),
                   [](const Gain& a, const Gain& b) { return a.share > b.share; });
  return gains;
}

std::string describe(const std::vector<Gain>& gains) {
  std::string text = fmt::format("  bound by {}; twice as fast would save:", gains.front().part);
  for (const Gain& gain : gains) text += fmt::format(" {} {:.1f} %", gain.part, 100 * gain.share);
  return text;
}

std::string summary(const Prediction& prediction) {
  const ByCause shares = prediction.shares();
  std::string text = fmt::format("{:.4g} s |", prediction.seconds());
  for (std::size_t cause = 0; cause < kCauses; ++cause)
    text += fmt::format(" {} {:.1f} %", cause_name(static_cast<Cause>(cause)), 100 * shares[cause]);
  return text;
}

std::string phase_table(const Prediction& prediction) {
  std::string text;
  for (const Phase& phase : prediction.phases) {
    if (phase.seconds < 1e-3 * prediction.seconds()) continue;
    text += fmt::format("  {:<12} {:>10.3f} s", phase.name, phase.seconds);
    for (std::size_t cause = 0; cause < kCauses; ++cause) {
      if (phase.shares[cause] >= 0.005)
        text +=
            fmt::format("  {} {:.0f} %", cause_name(static_cast<Cause>(cause)), 100 * phase.shares[cause]);
    }
    text += "\n";
  }
  return text;
}

std::string describe(const Machine& machine) {
  if (machine.cached)
    return fmt::format("{:.0f} cores, files in the page cache, speed {:.2f}", machine.cores, machine.speed);
  return fmt::format(
      "{:.0f} cores a node, speed {:.2f}; file system {:.3g} GB/s in all, {:.3g} a node, {:.3g} a stream, "
      "{:.3g} ms a "
      "small operation, {:.0f} thousand of them a second, {:.3g} ms a sync; network {:.3g} us, {:.3g} GB/s a "
      "node; "
      "{:.3g} s a node to launch",
      machine.cores, machine.speed, machine.fs_rate / 1e9, machine.node_fs_rate / 1e9,
      machine.stream_fs_rate / 1e9, machine.fs_operation * 1e3, machine.fs_operations / 1e3,
      machine.fs_sync * 1e3, machine.net_latency * 1e6, machine.net_rate / 1e9, machine.launch_per_node);
}

std::string describe(const Layout& layout) {
  return fmt::format("{} nodes x {} ranks x {} threads", layout.nodes, layout.ranks_per_node, layout.threads);
}

}  // namespace llmq::scale
