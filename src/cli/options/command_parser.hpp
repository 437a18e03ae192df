// One command of the command line: the options it takes, and what becomes of the words typed for them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <CLI/CLI.hpp>

#include "cli/app.hpp"

namespace llmq::cli {

/// Where parsers put their commands, and the invocation whose fields the options fill.
struct CommandTree {
  CLI::App& root;
  Invocation& invocation;
};

constexpr std::uint64_t kMaxSamples = 1 << 20;
constexpr std::uint64_t kMaxCtx = 1 << 20;

/// A constructor adds the command to the tree; options point into the parser, so it stays where it was made.
class CommandParser {
 public:
  CommandParser(const CommandParser&) = delete;
  CommandParser& operator=(const CommandParser&) = delete;
  virtual ~CommandParser() = default;

  /// True after a parse that named this command.
  bool chosen() const { return app_.parsed(); }
  /// What CLI11 cannot judge; fills the invocation. @throws Error(invalid_arguments |
  /// unsupported_conversion).
  virtual void finish(Invocation& invocation) const = 0;

 protected:
  explicit CommandParser(CLI::App& app) : app_(app) { app.fallthrough(); }

  CLI::App& app() { return app_; }
  const CLI::App& app() const { return app_; }

 private:
  CLI::App& app_;
};

}  // namespace llmq::cli
