// Memory of this process and of the node, from /proc.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"
#include "llmq/pipeline/stage_context.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

/// Value in bytes of a "Name:   123 kB" line; 0 if absent.
std::uint64_t proc_kilobytes(const char* file, std::string_view name) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(name)) continue;
    std::uint64_t value = 0;
    std::istringstream(line.substr(name.size())) >> value;
    return value * 1024;
  }
  return 0;
}

/// The number in a one-line file; empty when there is none ("max" is none).
std::optional<std::uint64_t> read_number(const fs::path& file) {
  std::ifstream in(file);
  std::uint64_t value = 0;
  if (in >> value) return value;
  return std::nullopt;
}

}  // namespace

std::uint64_t cgroup_headroom_bytes(const fs::path& cgroup_file, const fs::path& mount) {
  constexpr std::uint64_t kUnlimited = ~std::uint64_t{0};
  std::uint64_t headroom = kUnlimited;
  std::ifstream in(cgroup_file);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with("0::/")) continue;  // the one line of cgroup v2
    // Every ancestor may limit its children.
    for (fs::path group = mount / line.substr(4);; group = group.parent_path()) {
      const auto limit = read_number(group / "memory.max");
      const auto used = read_number(group / "memory.current");
      if (limit && used) headroom = std::min(headroom, *limit - std::min(*limit, *used));
      if (group == mount || !group.has_relative_path()) break;
    }
  }
  return headroom;
}

std::uint64_t peak_memory_bytes() { return proc_kilobytes("/proc/self/status", "VmHWM:"); }
std::uint64_t available_memory_bytes() {
  return std::min(proc_kilobytes("/proc/meminfo", "MemAvailable:"),
                  cgroup_headroom_bytes("/proc/self/cgroup", "/sys/fs/cgroup"));
}

void require_memory(const StageContext& context, std::uint64_t bytes, std::string_view what) {
  if (bytes <= context.memory_limit_bytes) return;
  throw Error(ExitCode::out_of_memory,
              fmt::format("{} needs {} a rank, {} are allowed", what, format_size(bytes),
                          format_size(context.memory_limit_bytes)),
              "Raise --mem-per-rank, lower --threads, or use more ranks");
}

}  // namespace llmq
