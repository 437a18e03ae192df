// What earlier runs of a job have finished: CHECKPOINT_DIR/NAME.state.json, replaced as a whole after every
// step. docs/formats/job.md describes the file. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "llmq/core/file.hpp"
#include "llmq/core/log.hpp"

#include "pipeline/job/job_identity.hpp"

namespace llmq::job {

struct OutputRecord {
  std::string path;  ///< absolute
  std::uint64_t size_bytes = 0;
  std::string sha256;
};

struct StepRecord {
  bool finished = false;  ///< false: started, and an output at `output` may be this step's
  Fields fields;
  std::optional<OutputRecord> output;  ///< none: the step writes nothing
  double seconds = 0;
  std::string result;  ///< the command's JSON document
};

class JobState {
 public:
  /// Reads what is there; a damaged file counts as none, with a warning. Local, rank 0.
  JobState(const std::filesystem::path& directory, const std::string& job, Log& log);

  /// Keeps other runs of the job out until destruction. @throws Error(checkpoint).
  void lock();
  const StepRecord* find(const std::string& step) const;
  /// Remembers and writes the file. @throws Error(general) when it cannot be written.
  void put(const std::string& step, StepRecord record);
  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
  std::string job_;
  std::map<std::string, StepRecord> records_;
  std::unique_ptr<FileLock> lock_;
};

}  // namespace llmq::job
