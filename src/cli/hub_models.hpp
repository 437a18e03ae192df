// Hub ids on a command line become local directories before the command begins.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "llmq/pipeline/stage_context.hpp"

#include "cli/app.hpp"

namespace llmq::cli {

/// Collective: every MODEL of the command that is a hub id, replaced by where it is (local_model).
void bring_models(const StageContext& context, Invocation& invocation);

}  // namespace llmq::cli
