// The machine and the ranks of a prediction, and what ranks talking to each other costs there.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "scale/costs.hpp"

namespace llmq::scale {

/// Defaults are a middling cluster; each prediction prints what it used.
struct Machine {
  double cores = 64;              ///< of a node
  bool cached = false;            ///< all files stand in the page cache of one node: nothing waits for a disk
  bool node_cache = true;         ///< what several ranks of a node read, it gets from the file system once
  double fs_rate = 25e9;          ///< bytes/s of the shared file system, all nodes together
  double node_fs_rate = 2.5e9;    ///< bytes/s between one node and the file system
  double stream_fs_rate = 1e9;    ///< bytes/s of one thread that reads or writes one file
  double fs_operation = 0.5e-3;   ///< seconds until a small read, an open or a create is answered
  double fs_operations = 100e3;   ///< of those a second, all nodes together
  double fs_sync = 0.05;          ///< seconds of an fsync after data has gone out
  double net_latency = 2e-6;      ///< seconds
  double net_rate = 12.5e9;       ///< bytes/s of a node's link (100 Gb/s)
  double launch_per_node = 0.02;  ///< seconds that a node adds to the start of the job
  double speed = 1;               ///< of a core, against the one where costs were measured
};

/// "cores=2,cached=1" on top of `base`. @throws Error(invalid_arguments) for an unknown name.
Machine machine_from_text(std::string_view text, Machine base = {});

struct Layout {
  int nodes = 1;
  int ranks_per_node = 1;
  int threads = 1;
  int ranks() const noexcept { return nodes * ranks_per_node; }
  int workers() const noexcept { return ranks() * threads; }
};
/// "8x8x8": nodes, ranks on each, threads of each. @throws Error(invalid_arguments).
Layout layout_from_text(std::string_view text);

/// Collective calls and messages. Inside a node as measured; between nodes a tree over the nodes.
class Talk {
 public:
  Talk(const Costs& costs, const Machine& machine, const Layout& layout);
  double agree() const noexcept { return agree_; }
  double all_reduce() const noexcept { return all_reduce_; }
  /// Whole arrays to all or to rank 0 of 128-bit elements.
  double broadcast(double bytes) const noexcept;
  double reduce_i128(double elements) const noexcept;
  /// Ragged gather: rank 0 takes the ranks' messages one after the other.
  double gather(double bytes_in_all) const noexcept;
  /// One message between neighbouring ranks. @param same_node  true: through shared memory
  double message(double bytes, bool same_node) const noexcept;

 private:
  const Costs& costs_;
  const Machine& machine_;
  Layout layout_;
  double levels_;  ///< of the tree over nodes
  double agree_;
  double all_reduce_;
  double reduce_element_;
};

}  // namespace llmq::scale
