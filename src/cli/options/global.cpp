#include "cli/options/global.hpp"

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"

#include "cli/options/choose.hpp"

namespace llmq::cli {

void GlobalParser::add_options(CommandTree tree) {
  CLI::App& app = tree.root;
  GlobalOptions& global = tree.invocation.global;
  app.add_option("--format", format_, "human or json: form of results and errors")->capture_default_str();
  app.add_option("--verbosity", verbosity_, "quiet, normal, verbose or debug")->capture_default_str();
  app.add_option("--threads", global.threads,
                 "Compute threads of a rank; never changes a result (default: cores / ranks on the node)")
      ->check(CLI::Range(1, 4096));
  app.add_option("--comm", comm_, "auto, serial or mpi; auto starts MPI under mpirun and srun")
      ->capture_default_str();
  app.add_option("--mem-per-rank", mem_per_rank_,
                 "Memory a rank may use, e.g. 12GiB (default: 80 % of what is free)");
  app.add_option("--device", global.device, "auto, cpu or cuda: where the model runs")->capture_default_str();
  app.add_option("--log-file", global.log_file, "Also write the log to this file");
}

void GlobalParser::finish(GlobalOptions& global) const {
  global.format = choose<OutputFormat>({{"human", OutputFormat::human}, {"json", OutputFormat::json}},
                                       format_, "--format");
  global.verbosity = choose<Verbosity>({{"quiet", Verbosity::quiet},
                                        {"normal", Verbosity::normal},
                                        {"verbose", Verbosity::verbose},
                                        {"debug", Verbosity::debug}},
                                       verbosity_, "--verbosity");
  global.comm = choose<CommMode>(
      {{"auto", CommMode::automatic}, {"serial", CommMode::serial}, {"mpi", CommMode::mpi}}, comm_, "--comm");
  const std::string device =
      choose<std::string>({{"auto", "cpu"}, {"cpu", "cpu"}, {"cuda", "cuda"}}, global.device, "--device");
  if (device == "cuda") {
    throw Error(ExitCode::invalid_arguments, "--device cuda: this libtorch is built without CUDA",
                "Use --device cpu");
  }
  if (mem_per_rank_.empty()) return;
  global.mem_per_rank_bytes = parse_size(mem_per_rank_);
  if (!global.mem_per_rank_bytes || *global.mem_per_rank_bytes == 0) {
    throw Error(ExitCode::invalid_arguments,
                fmt::format("--mem-per-rank: \"{}\" is not a size", mem_per_rank_),
                "Write for example 12GiB or 800MB");
  }
}

}  // namespace llmq::cli
