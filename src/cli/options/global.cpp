#include "cli/options/global.hpp"

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"

#include "cli/options/choices.hpp"
#include "cli/options/value_types.hpp"

namespace llmq::cli {
namespace {

const Choices<OutputFormat> kFormats = {{"human", OutputFormat::human}, {"json", OutputFormat::json}};
// Only quality compare has a table to print: the others do not offer csv.
const Choices<OutputFormat> kAllFormats = {
    {"human", OutputFormat::human}, {"json", OutputFormat::json}, {"csv", OutputFormat::csv}};
const Choices<Verbosity> kVerbosities = {{"quiet", Verbosity::quiet},
                                         {"normal", Verbosity::normal},
                                         {"verbose", Verbosity::verbose},
                                         {"debug", Verbosity::debug}};
const Choices<CommMode> kComms = {
    {"auto", CommMode::automatic}, {"serial", CommMode::serial}, {"mpi", CommMode::mpi}};
const Choices<std::string> kDevices = {{"auto", "cpu"}, {"cpu", "cpu"}, {"cuda", "cuda"}};

}  // namespace

void GlobalParser::add_options(CommandTree tree) {
  CLI::App& app = tree.root;
  GlobalOptions& global = tree.invocation.global;
  app.add_option("--format", format_, "Form of results and errors (quality compare: csv too)")
      ->type_name(type_name(kFormats))
      ->capture_default_str();
  app.add_option("--verbosity", verbosity_, "How much is told on stderr")
      ->type_name(type_name(kVerbosities))
      ->capture_default_str();
  app.add_option("--threads", global.threads,
                 "Compute threads of a rank; never changes a result (default: cores / ranks on the node)")
      ->check(CLI::Range(1, 4096));
  app.add_option("--comm", comm_, "How ranks talk; auto starts MPI under mpirun and srun")
      ->type_name(type_name(kComms))
      ->capture_default_str();
  app.add_option("--mem-per-rank", mem_per_rank_,
                 "Memory a rank may use, e.g. 12GiB (default: 80 % of what is free)")
      ->type_name(kSizeValue);
  app.add_option("--device", global.device, "Where the model runs")
      ->type_name(type_name(kDevices))
      ->capture_default_str();
  app.add_option("--log-file", global.log_file, "Also write the log to this file")->type_name(kFileValue);
}

void GlobalParser::finish(GlobalOptions& global) const {
  global.format = choose(kAllFormats, format_, "--format");
  global.verbosity = choose(kVerbosities, verbosity_, "--verbosity");
  global.comm = choose(kComms, comm_, "--comm");
  if (choose(kDevices, global.device, "--device") == "cuda") {
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
