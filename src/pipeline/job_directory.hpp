// The place of one job's checkpoints: a subdirectory named by the job's key, locked while in use, with the
// identity of the job in clear text so that a mismatch can say which field differs. SPDX-License-Identifier:
// Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "llmq/core/file.hpp"
#include "llmq/pipeline/stage_context.hpp"

namespace llmq {

/// Everything that decides a job's result, as named fields in a fixed order.
class JobIdentity {
 public:
  explicit JobIdentity(std::string stage) { add("stage", std::move(stage)); }
  void add(std::string name, std::string value) { fields_.emplace_back(std::move(name), std::move(value)); }
  const std::vector<std::pair<std::string, std::string>>& fields() const noexcept { return fields_; }
  /// First 16 hex digits of a SHA-256 over all fields.
  std::string key() const;

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

/// Who reads and writes below a job directory.
enum class DirectoryUse { all_ranks, root_only };

class JobDirectory {
 public:
  /// Collective. Checks that all ranks mean the same job; rank 0 makes or finds the directory and locks it;
  /// failures become everyone's.
  /// @throws Error(checkpoint): locked by another run; --resume names a missing place or another job; not
  /// seen by a rank that is to use it. Error(validation): ranks read different models or texts.
  JobDirectory(const StageContext& context, const CheckpointOptions& options, const JobIdentity& identity,
               DirectoryUse use = DirectoryUse::all_ranks);

  /// False with --no-checkpoints: then there is no path and nothing is kept.
  bool enabled() const noexcept { return enabled_; }
  /// True if earlier work may stand in path().
  bool resuming() const noexcept { return resuming_; }
  const std::filesystem::path& path() const noexcept { return path_; }
  /// Where this rank may keep results; empty: nowhere.
  std::optional<std::filesystem::path> place_of(int rank) const {
    if (!enabled_ || (use_ == DirectoryUse::root_only && rank != 0)) return std::nullopt;
    return path_;
  }
  /// Rank 0, after success or when nothing in it can help a later run.
  void remove() noexcept;

 private:
  void check_seen_by_all(const StageContext& context, const JobIdentity& identity) const;
  void open_on_root(const CheckpointOptions& options, const JobIdentity& identity);

  bool enabled_;
  DirectoryUse use_;
  bool resuming_ = false;
  std::filesystem::path path_;
  std::unique_ptr<FileLock> lock_;
};

/// Runs `work`, and removes the job's directory when it has succeeded. A failure that a later run cannot mend
/// by going on removes it, too, and what `discard` removes: on rank 0. Collective as `work` is.
void run_resumable(const StageContext& context, JobDirectory& job, const std::function<void()>& work,
                   const std::function<void()>& discard);

}  // namespace llmq
