// Entry point: parse, start MPI if a launcher stands behind us, run, turn errors into words and exit codes.
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <unistd.h>

#include <fmt/format.h>

#include "llmq/core/kernels.hpp"
#include "llmq/pipeline/interrupt.hpp"

#include "cli/app.hpp"
#include "cli/commands.hpp"
#include "cli/render.hpp"

namespace {

using namespace llmq;

/// Before options are parsed (and when they cannot be): does the user want JSON?
bool asks_for_json(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--format=json") return true;
    if (word == "--format" && i + 1 < argc && std::string_view(argv[i + 1]) == "json") return true;
  }
  return false;
}

/// Rank as the launcher tells it, before MPI is started: only rank 0 speaks.
bool is_first_process() {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"}) {
    if (const char* text = std::getenv(name)) return std::string_view(text) == "0";
  }
  return true;
}

void print_error(const LocalStatus& status, bool as_json) {
  const auto code = static_cast<ExitCode>(status.exit_code);
  if (as_json) {
    const std::string text = cli::json_error(code, status.message, status.suggestion);
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
    return;
  }
  fmt::print(stderr, "[llm-quantize] Error ({}): {}\n", error_type(code), status.message);
  if (!status.suggestion.empty()) fmt::print(stderr, "[llm-quantize] {}\n", status.suggestion);
}

int run(const cli::Invocation& invocation, const Communicator& comm, bool launched) {
  if (const char* name = std::getenv("LLM_QUANTIZE_KERNELS"); name != nullptr && *name != '\0')
    force_kernels(name);
  LogOptions options;
  options.verbosity = invocation.global.verbosity;
  options.speaks = comm.is_root();
  options.terminal = !launched && ::isatty(STDERR_FILENO) == 1;
  options.file = invocation.global.log_file;
  if (comm.size() > 1) options.debug_prefix = fmt::format("rank {}", comm.rank());
  Log log(options);
  return static_cast<int>(cli::run_command(invocation, comm, log));
}

}  // namespace

int main(int argc, char** argv) {
  const bool as_json = asks_for_json(argc, argv);
  cli::Invocation invocation;
  try {
    invocation = cli::parse_command_line(argc, argv);
  } catch (...) {
    const LocalStatus status = Communicator::describe_current_exception();
    if (is_first_process()) print_error(status, as_json);
    return status.exit_code;
  }
  if (!invocation.text.empty()) {
    if (is_first_process()) std::fputs(invocation.text.c_str(), stdout);
    return 0;
  }

  const bool launched = MpiEnvironment::launched();
  install_interrupt_handlers(launched);
  const bool with_mpi = invocation.global.comm == cli::CommMode::mpi ||
                        (invocation.global.comm == cli::CommMode::automatic && launched);
  std::unique_ptr<MpiEnvironment> mpi;
  int exit_code = 0;
  try {
    if (with_mpi) mpi = std::make_unique<MpiEnvironment>();
    const Communicator comm = with_mpi ? mpi->world() : Communicator::serial();
    try {
      exit_code = run(invocation, comm, launched);
    } catch (...) {
      const LocalStatus status = Communicator::describe_current_exception();
      // Failures that all ranks share end here together; one that only this rank knows must end the others
      // too.
      const bool together = !with_mpi || mpi->meet();
      if (comm.is_root() || !together)
        print_error(status, invocation.global.format == cli::OutputFormat::json);
      if (!together) MpiEnvironment::abort(status.exit_code);
      exit_code = status.exit_code;
    }
  } catch (...) {
    const LocalStatus status = Communicator::describe_current_exception();
    print_error(status, as_json);
    exit_code = status.exit_code;
  }
  return exit_code;
}
