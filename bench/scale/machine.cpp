#include "scale/machine.hpp"

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "llmq/core/error.hpp"

namespace llmq::scale {
namespace {

const std::vector<std::pair<std::string_view, double Machine::*>> kFields = {
    {"cores", &Machine::cores},
    {"fs_rate", &Machine::fs_rate},
    {"node_fs_rate", &Machine::node_fs_rate},
    {"stream_fs_rate", &Machine::stream_fs_rate},
    {"fs_operation", &Machine::fs_operation},
    {"fs_operations", &Machine::fs_operations},
    {"fs_sync", &Machine::fs_sync},
    {"net_latency", &Machine::net_latency},
    {"net_rate", &Machine::net_rate},
    {"launch_per_node", &Machine::launch_per_node},
    {"speed", &Machine::speed},
};

double positive(std::string_view text, std::string_view what) {
  try {
    std::size_t used = 0;
    const double value = std::stod(std::string(text), &used);
    if (used == text.size() && value > 0 && std::isfinite(value)) return value;
  } catch (const std::exception&) {  // falls through to the one message
  }
  throw Error(ExitCode::invalid_arguments, fmt::format("{}: \"{}\" is no positive number", what, text));
}

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t end = text.find(at);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

void set_field(Machine& machine, std::string_view name, std::string_view value) {
  if (name == "cached" || name == "node_cache") {
    (name == "cached" ? machine.cached : machine.node_cache) = value == "1";
    return;
  }
  for (const auto& [known, member] : kFields) {
    if (known != name) continue;
    machine.*member = positive(value, name);
    return;
  }
  throw Error(ExitCode::invalid_arguments, fmt::format("a machine has no \"{}\"", name));
}

}  // namespace

Machine machine_from_text(std::string_view text, Machine base) {
  if (text.empty()) return base;
  for (const std::string_view part : split(text, ',')) {
    const std::size_t equals = part.find('=');
    if (equals == std::string_view::npos)
      throw Error(ExitCode::invalid_arguments, fmt::format("\"{}\": want name=value", part));
    set_field(base, part.substr(0, equals), part.substr(equals + 1));
  }
  return base;
}

Layout layout_from_text(std::string_view text) {
  const auto parts = split(text, 'x');
  if (parts.size() != 3)
    throw Error(ExitCode::invalid_arguments, fmt::format("\"{}\": want NODESxRANKSxTHREADS", text));
  const auto count = [&](std::size_t i) { return static_cast<int>(positive(parts[i], "layout")); };
  return {count(0), count(1), count(2)};
}

Talk::Talk(const Costs& costs, const Machine& machine, const Layout& layout)
    : costs_(costs), machine_(machine), layout_(layout), levels_(std::ceil(std::log2(layout.nodes))) {
  const bool crowded = layout.ranks_per_node > machine.cores;
  const auto in_node = [&](const ByRanks& table) {
    return at_ranks(table, layout.ranks_per_node, costs.cores, crowded);
  };
  // There and back through the tree.
  agree_ = in_node(costs.agree) + 2 * levels_ * machine.net_latency;
  all_reduce_ = in_node(costs.all_reduce) + 2 * levels_ * machine.net_latency;
  reduce_element_ = in_node(costs.reduce_i128);
}

double Talk::broadcast(double bytes) const noexcept {
  if (layout_.ranks() == 1) return 0;
  // Long arrays go through a chain in pieces: every byte crosses each kind of link once, the levels are
  // filled once.
  return all_reduce_ + bytes * costs_.message_byte +
         (layout_.nodes > 1 ? bytes / machine_.net_rate + levels_ * machine_.net_latency : 0.0);
}

double Talk::reduce_i128(double elements) const noexcept {
  if (layout_.ranks() == 1) return 0;
  // A binomial tree without pieces: each level moves and adds the whole array. Libraries do better on long
  // arrays; this is what they do at least.
  const double level = elements * 16 / machine_.net_rate + machine_.net_latency +
                       elements * at_ranks(costs_.reduce_i128, 2, costs_.cores, false);
  return all_reduce_ + elements * reduce_element_ + levels_ * level;
}

double Talk::gather(double bytes_in_all) const noexcept {
  if (layout_.ranks() == 1) return 0;
  const double one = layout_.nodes > 1 ? machine_.net_latency : costs_.message;
  const double byte = layout_.nodes > 1 ? 1 / machine_.net_rate : costs_.message_byte;
  return all_reduce_ + layout_.ranks() * one + bytes_in_all * byte;
}

double Talk::message(double bytes, bool same_node) const noexcept {
  if (same_node) return costs_.message + bytes * costs_.message_byte;
  return machine_.net_latency + costs_.message + bytes / machine_.net_rate;
}

}  // namespace llmq::scale
