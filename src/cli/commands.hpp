// Runs one parsed invocation on a communicator and prints its result on rank 0.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "llmq/comm/communicator.hpp"
#include "llmq/core/error.hpp"

#include "cli/app.hpp"

namespace llmq::cli {

/// Collective, the same exit code on every rank; not 0: a result that is an answer and a failure at once was
/// printed as both. Throws what the stage throws.
ExitCode run_command(Invocation invocation, const Communicator& comm, Log& log);

}  // namespace llmq::cli
