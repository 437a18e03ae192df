// Memory of this process and of the node, from /proc.
// SPDX-License-Identifier: Apache-2.0
#include <fstream>
#include <sstream>
#include <string>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"
#include "llmq/pipeline/stage_context.hpp"

namespace llmq {
namespace {

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

}  // namespace

std::uint64_t peak_memory_bytes() { return proc_kilobytes("/proc/self/status", "VmHWM:"); }
std::uint64_t available_memory_bytes() { return proc_kilobytes("/proc/meminfo", "MemAvailable:"); }

void require_memory(const StageContext& context, std::uint64_t bytes, std::string_view what) {
  if (bytes <= context.memory_limit_bytes) return;
  throw Error(ExitCode::out_of_memory,
              fmt::format("{} needs {} a rank, {} are allowed", what, format_size(bytes),
                          format_size(context.memory_limit_bytes)),
              "Raise --mem-per-rank, lower --threads, or use more ranks");
}

}  // namespace llmq
