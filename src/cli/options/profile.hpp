// The group `profile`. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

namespace llmq::cli {

/// `profile` only holds its subcommands; the first of them to be added makes it.
CLI::App& profile_group(CLI::App& root);

}  // namespace llmq::cli
