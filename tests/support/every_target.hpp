// Runs a test once for every instruction set this CPU has, plain scalar code included.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <hwy/highway.h>

namespace llmq::test {

/// Calls body(name) with the kernels of each target in turn, the best one first; restores the choice.
template <class Body>
void for_every_target(const Body& body) {
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    body(hwy::TargetName(target));
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace llmq::test
