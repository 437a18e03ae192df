// The profile commands once they are parsed: looking up, and what a misfit does to the exit code.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "llmq/core/error.hpp"

#include "cli/app.hpp"

namespace llmq::cli {

/// Collective; the result is on rank 0. A file of the user's that cannot be read is a warning.
std::vector<ListedProfile> run_profile_list(const StageContext& context);
/// Collective; the result is on rank 0. @throws Error(profile).
FoundProfile run_profile_show(const StageContext& context, const Invocation& invocation);
/// Collective: the exit code of a validation, the same on every rank.
ExitCode exit_code_of(const Communicator& comm, const ProfileValidateResult& result);

}  // namespace llmq::cli
