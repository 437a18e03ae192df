// The variables of a job: declared ones, `--set`, `${env:NAME}`, `${job.dir}` and `${job.name}`.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>

#include <nlohmann/json.hpp>

#include "llmq/pipeline/job.hpp"

#include "pipeline/job/job_text.hpp"

namespace llmq::job {

class Variables {
 public:
  /// Expands all declared variables. @throws JobError: a name set that is not declared, unknown names,
  /// cycles.
  Variables(const nlohmann::json& document, const std::filesystem::path& file,
            const JobSurroundings& surroundings);

  /// @param pointer  of the string that uses the name. @throws JobError for a name that is not known.
  std::string value(const std::string& name, const std::string& pointer);

 private:
  std::string declared(const std::string& name);

  std::string file_;
  const JobSurroundings& surroundings_;
  std::map<std::string, std::string> texts_;   ///< declared, as written
  std::map<std::string, std::string> values_;  ///< expanded so far, and the built-in ones
  std::set<std::string> open_;                 ///< being expanded: to find one again is a cycle
  Expander expander_;
};

}  // namespace llmq::job
