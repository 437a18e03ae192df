// Requests to stop: SIGUSR1 always, SIGTERM and SIGINT when no launcher would kill us anyway a second later.
// The handler sets a flag; stages look at it between units, commit, and throw Error(interrupted).
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace llmq {

/// Installs the handlers. A second SIGINT or SIGTERM ends the process at once.
void install_interrupt_handlers(bool under_launcher);
/// True once a stop was requested of this rank.
bool interrupt_requested() noexcept;
/// For work that keeps nothing of its own. @throws Error(interrupted) once a stop was requested.
void stop_if_asked();

}  // namespace llmq
