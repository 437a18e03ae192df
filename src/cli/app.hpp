// The command line as data: global options, one struct per command, and the parser that fills them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "llmq/core/log.hpp"
#include "llmq/pipeline/analyze.hpp"
#include "llmq/pipeline/convert.hpp"
#include "llmq/pipeline/job_run.hpp"
#include "llmq/pipeline/profile.hpp"
#include "llmq/pipeline/quality.hpp"
#include "llmq/pipeline/quantize.hpp"

namespace llmq::cli {

enum class OutputFormat { human, json, csv };  ///< csv: quality compare only
enum class CommMode { automatic, serial, mpi };
enum class Command {
  none,
  quantize,
  analyze,
  profile_list,
  profile_show,
  profile_create,
  profile_validate,
  quality_report,
  quality_compare,
  info,
  convert,
  run
};

struct GlobalOptions {
  OutputFormat format = OutputFormat::human;
  Verbosity verbosity = Verbosity::normal;
  std::uint32_t threads = 0;  ///< 0: cores of the node divided by its ranks
  CommMode comm = CommMode::automatic;
  std::optional<std::uint64_t> mem_per_rank_bytes;
  std::string device = "auto";
  std::string log_file;
};

struct Invocation {
  Command command = Command::none;
  GlobalOptions global;
  QuantizeOptions quantize;
  AnalyzeOptions analyze;
  std::string profile_name;  ///< of profile show
  ProfileCreateOptions profile_create;
  ProfileValidateOptions profile_validate;
  QualityOptions quality;
  std::string quality_output;  ///< -o of quality report, empty for none
  CompareOptions compare;
  std::string compare_output;  ///< -o of quality compare, empty for none
  std::string info_path;
  bool info_kernels = false;  ///< info --kernels: no path
  ConvertOptions convert;
  JobRunOptions run;
  std::string text;  ///< --help or --version: print this and stop
};

/// Fills an invocation. @throws Error(invalid_arguments | unsupported_conversion).
Invocation parse_command_line(int argc, const char* const* argv);

}  // namespace llmq::cli
