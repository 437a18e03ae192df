// The work units of quantize, event by event: counters of nodes, queues of ranks, cores, file system, and
// with `gather` the one rank that writes. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "scale/account.hpp"
#include "scale/machine.hpp"

namespace llmq::scale {

struct UnitWork {
  double read_bytes = 0;    ///< from the file system
  double cpu_seconds = 0;   ///< widen, encode, and what a worker does to write
  double write_bytes = 0;   ///< into the file
  double root_seconds = 0;  ///< gather: what rank 0 does to write it
};

struct UnitRules {
  double take_seconds = 0;   ///< of the counter
  bool gather = false;       ///< rank 0 writes
  double send_seconds = 0;   ///< gather: one message to rank 0
  double send_byte = 0;      ///< gather: per byte of it
  bool send_by_net = false;  ///< gather: senders are on other nodes, too
};

struct UnitsOutcome {
  double seconds = 0;  ///< until the last thread is done
  ByCause busy{};      ///< thread-seconds
};

/// @param work   of every unit
/// @param split  units of each node in the order they are handed out (split_between_nodes)
UnitsOutcome simulate_units(const std::vector<UnitWork>& work,
                            const std::vector<std::vector<std::uint32_t>>& split, const Machine& machine,
                            const Layout& layout, const UnitRules& rules);

}  // namespace llmq::scale
