// Declarative jobs: a JSON document of steps becomes a list of steps in the order they run, with every option
// resolved. docs/formats/job.md is the format. Pure: nothing is read but the text and the environment given.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "llmq/core/error.hpp"

namespace llmq {

/// A job that cannot be run as it is written: exit code 2 unless said otherwise, with the place in the
/// document.
class JobError : public Error {
 public:
  /// @param file  path of the job, as given   @param pointer  RFC 6901, "" for the whole document
  JobError(std::string_view file, std::string pointer, std::string_view reason, std::string suggestion,
           ExitCode code = ExitCode::invalid_arguments);
  const std::string& pointer() const noexcept { return pointer_; }

 private:
  std::string pointer_;
};

/// One option of a step, defaults merged in and variables replaced.
struct JobOption {
  std::string name;                 ///< as on the command line, without dashes: "calibration-samples"
  std::vector<std::string> values;  ///< at least one; a flag that is on has the one value "true"
  bool flag = false;
  std::string pointer;  ///< where it is written: "/steps/2/imatrix" or "/defaults/quantize/imatrix"
};

struct JobStep {
  std::string id;
  std::string type;                ///< analyze, profile, quantize or quality
  std::string pointer;             ///< "/steps/2"
  std::vector<std::string> needs;  ///< ids: those listed, and those whose output an option refers to; sorted
  std::vector<JobOption> options;  ///< by name; a flag that is off is left out
  std::filesystem::path output;    ///< what the step writes; empty: nothing

  const JobOption* find(std::string_view name) const noexcept;
  /// First value of an option, `fallback` where it is not given.
  std::string value(std::string_view name, std::string_view fallback = "") const;
};

struct Job {
  std::string file;
  std::string name;
  std::string description;
  std::vector<JobStep> steps;  ///< in the order they run: document order as far as `needs` allows
};

/// What a job may take from outside.
struct JobSurroundings {
  std::map<std::string, std::string> variables;  ///< --set NAME=VALUE
  /// `${env:NAME}`; none: no variable is set
  std::function<std::optional<std::string>(const std::string& name)> environment;
};

/// @param file  path of the document, for messages and `${job.dir}`.
/// @throws JobError: not JSON, against the schema, duplicate or unknown ids, cycles, unknown variables,
/// missing options. Local.
Job parse_job(std::string_view text, const std::filesystem::path& file,
              const JobSurroundings& surroundings = {});

/// What of the step is not supported yet, in words; empty: everything is.
std::string unsupported_part(const JobStep& step);

}  // namespace llmq
