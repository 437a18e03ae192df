#include "cli/commands.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <sched.h>
#include <thread>

#include <fmt/format.h>

#include "cli/convert_command.hpp"
#include "cli/hub_models.hpp"
#include "cli/job_executor.hpp"
#include "cli/profile_commands.hpp"
#include "cli/quality_commands.hpp"
#include "cli/quantize_command.hpp"
#include "cli/render.hpp"
#include "cli/render_job.hpp"
#include "cli/render_profile.hpp"
#include "cli/render_quality.hpp"

namespace llmq::cli {
namespace {

constexpr double kMemoryShare = 0.8;

std::uint64_t environment_number(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? 0 : std::strtoull(text, nullptr, 10);
}

/// Cores this process may run on.
std::uint64_t usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return static_cast<std::uint64_t>(CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

/// Explicit option, else what the batch system says, else a fair share of the node.
std::size_t choose_threads(const GlobalOptions& global, std::uint64_t ranks_on_node) {
  if (global.threads > 0) return global.threads;
  for (const char* name : {"OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK"}) {
    if (const std::uint64_t value = environment_number(name); value > 0)
      return static_cast<std::size_t>(value);
  }
  // A launcher that binds ranks to cores has divided them already; one that does not leaves all to every
  // rank.
  const std::uint64_t all = std::max(1u, std::thread::hardware_concurrency());
  const std::uint64_t mine = usable_cores();
  return static_cast<std::size_t>(std::max<std::uint64_t>(1, mine < all ? mine : all / ranks_on_node));
}

void print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

template <typename Result>
void show(const Invocation& invocation, const Communicator& comm, const Log& log, const Result& result) {
  if (!comm.is_root()) return;
  print(invocation.global.format == OutputFormat::json ? json(result, log.warnings()) : human(result));
}

/// Problems are the result and the failure: the table on stdout and the error on stderr, or both in one
/// document.
ExitCode validate_profile(const Invocation& invocation, const StageContext& context) {
  const ProfileValidateResult result = run_profile_validate(context, invocation.profile_validate);
  show(invocation, context.comm, context.log, result);
  const ExitCode code = exit_code_of(context.comm, result);
  if (code == ExitCode::ok || invocation.global.format == OutputFormat::json) return code;
  throw AgreedError(code, misfit_message(result), kMisfitSuggestion);
}

/// A file that lost too much is kept, and shown as a result that failed.
ExitCode quantize(const Invocation& invocation, const StageContext& context) {
  const QuantizeResult result = run_quantize_command(context, invocation.quantize);
  show(invocation, context.comm, context.log, result);
  Verdict judged = verdict(result);
  context.comm.broadcast(std::span(&judged.code, 1), 0, "share the judgement");
  context.comm.broadcast(judged.message, 0, "share the judgement");
  if (judged.code == ExitCode::ok) return ExitCode::ok;
  if (invocation.global.format == OutputFormat::json) return judged.code;
  throw AgreedError(judged.code,
                    fmt::format("{}; the file is kept: {}", judged.message, result.output_path.string()),
                    judged.suggestion);
}

void run_stage(const Invocation& invocation, const StageContext& context) {
  const Communicator& comm = context.comm;
  Log& log = context.log;
  switch (invocation.command) {
    case Command::analyze:
      return show(invocation, comm, log, run_analyze(context, invocation.analyze));
    case Command::profile_list:
      return show(invocation, comm, log, run_profile_list(context));
    case Command::profile_show:
      return show(invocation, comm, log, run_profile_show(context, invocation));
    case Command::profile_create:
      return show(invocation, comm, log, run_profile_create(context, invocation.profile_create));
    case Command::quality_report:
      return show(invocation, comm, log, run_quality_report(context, invocation));
    case Command::quality_compare: {
      const CompareResult result = run_quality_compare(context, invocation);
      if (comm.is_root() && invocation.global.format == OutputFormat::csv) return print(compare_csv(result));
      return show(invocation, comm, log, result);
    }
    case Command::info: {
      if (invocation.info_kernels) return show(invocation, comm, log, kernel_targets());
      Info info;
      comm.together("read", [&] {
        if (comm.is_root()) info = read_info(invocation.info_path);
      });
      return show(invocation, comm, log, info);
    }
    case Command::convert:
      return show(invocation, comm, log, run_convert_command(context, invocation.convert));
    case Command::run: {
      CommandExecutor executor;
      return show(invocation, comm, log, run_job(context, invocation.run, executor));
    }
    case Command::quantize:  // these have exit codes of their own
    case Command::profile_validate:
    case Command::none:
      return;
  }
}

}  // namespace

ExitCode run_command(Invocation invocation, const Communicator& comm, Log& log) {
  const std::uint64_t ranks_on_node = static_cast<std::uint64_t>(comm.split_node().size());
  StageContext context{comm, log, choose_threads(invocation.global, ranks_on_node), 0};
  context.memory_limit_bytes = invocation.global.mem_per_rank_bytes.value_or(static_cast<std::uint64_t>(
      kMemoryShare * static_cast<double>(available_memory_bytes()) / static_cast<double>(ranks_on_node)));
  log.debug(fmt::format("rank {} of {}, {} threads, {} bytes of memory", comm.rank(), comm.size(),
                        context.threads, context.memory_limit_bytes));
  bring_models(context, invocation);
  if (invocation.command == Command::quantize) return quantize(invocation, context);
  if (invocation.command == Command::profile_validate) return validate_profile(invocation, context);
  run_stage(invocation, context);
  return ExitCode::ok;
}

}  // namespace llmq::cli
