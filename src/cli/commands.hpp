// Runs one parsed invocation on a communicator and prints its result on rank 0.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "llmq/comm/communicator.hpp"

#include "cli/app.hpp"

namespace llmq::cli {

/// Collective. Throws what the stage throws.
void run_command(const Invocation& invocation, const Communicator& comm, Log& log);

}  // namespace llmq::cli
