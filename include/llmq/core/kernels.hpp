// Instruction sets that the vector kernels were built for. Every one of them gives the same bytes; which one
// is used decides how fast. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace llmq {

struct KernelTargets {
  std::vector<std::string>
      usable;  ///< built and known to this CPU, the best first: "AVX3", "AVX2", "SCALAR" ...
  std::string active;
};

/// What this process has and uses.
KernelTargets kernel_targets();

/// Uses one target from now on, in every room. Before threads are started.
/// @param name  any case, one of kernel_targets().usable; "best" undoes an earlier choice
/// @throws Error(invalid_arguments) for others
void force_kernels(std::string_view name);

}  // namespace llmq
