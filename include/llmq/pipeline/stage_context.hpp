// What every stage of a run is given: who it talks to, where it speaks, and what it may use.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>

#include "llmq/comm/communicator.hpp"
#include "llmq/core/log.hpp"

namespace llmq {

struct StageContext {
  const Communicator& comm;
  Log& log;
  std::size_t threads = 1;               ///< compute threads of this rank; never changes a byte of a result
  std::uint64_t memory_limit_bytes = 0;  ///< this rank's share (--mem-per-rank)
};

/// How a run keeps what it has finished.
struct CheckpointOptions {
  bool enabled = true;
  std::filesystem::path directory = ".checkpoint";
  std::optional<std::filesystem::path> resume;  ///< checkpoint directory or the job's subdirectory
  bool continue_found = false;   ///< without `resume`: continue from this job's checkpoint if there is one
  double interval_seconds = -1;  ///< 0: after every unit; negative: as often as costs at most 5 %
};

/// Throws Error(out_of_memory) when the plan of a stage does not fit. `what` names the plan.
void require_memory(const StageContext& context, std::uint64_t bytes, std::string_view what);

/// Largest resident set of this process so far (VmHWM).
std::uint64_t peak_memory_bytes();
/// Memory the control groups named in `cgroup_file` (/proc/self/cgroup, version 2) still allow; the largest
/// number when nothing limits.
std::uint64_t cgroup_headroom_bytes(const std::filesystem::path& cgroup_file,
                                    const std::filesystem::path& mount);
/// Memory of the node that is free for use now, within what a batch system allows this process.
std::uint64_t available_memory_bytes();

}  // namespace llmq
