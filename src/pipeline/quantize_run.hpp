// The working part of a quantize run: the .partial file, the units, verification and publishing.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "llmq/core/file.hpp"
#include "llmq/pipeline/quantize.hpp"
#include "llmq/pipeline/quantize_plan.hpp"
#include "llmq/pipeline/stage_context.hpp"
#include "llmq/pipeline/timeline.hpp"

#include "pipeline/job_directory.hpp"
#include "pipeline/quantize_journal.hpp"
#include "pipeline/ternary_loss.hpp"
#include "pipeline/unit_courier.hpp"

namespace llmq {

/// Program, libraries, file heads: what a quantize process takes beside its units.
inline constexpr std::uint64_t kBaseMemoryBytes = std::uint64_t{64} << 20;

class QuantizeRun {
 public:
  QuantizeRun(const StageContext& context, const ModelSource& source, const QuantizePlan& plan,
              const JobDirectory& job, std::filesystem::path partial, Assembly assembly);

  /// Collective: reserves the file, finds what an earlier start has left, does the rest, verifies.
  void execute();
  /// Collective: syncs, renames, checks the finished file with the strict reader.
  void publish(const std::filesystem::path& output);
  /// Local, after a failure that no resume can mend: removes the unfinished file, if it is this run's.
  void discard() noexcept;

  std::uint64_t units_resumed() const noexcept { return units_resumed_; }
  /// Collective: what each rank's threads did since the run was made, on rank 0.
  std::vector<RankTimeline> timelines() const { return timeline_.gather(context_.comm); }

 private:
  struct Scratch {
    std::vector<float> weights;
    std::vector<std::byte> encoded;
  };

  void reserve_file();
  void find_finished_units();
  void do_unit(std::uint32_t index, Scratch& scratch);
  void place_unit(std::uint32_t index, std::span<const std::byte> bytes);
  /// True if this rank writes into the file itself.
  bool writes() const noexcept { return assembly_ == Assembly::shared || context_.comm.is_root(); }
  /// True if this rank, of those that can read the file, shall look at unit number `unit`.
  bool checks(std::uint64_t unit) const noexcept;
  void check_values(const PlannedTensor& tensor, std::uint64_t first_row,
                    std::span<const float> weights) const;
  void verify() const;
  bool unit_matches(std::uint32_t index, std::uint64_t checksum) const;

  const StageContext& context_;
  const ModelSource& source_;
  const QuantizePlan& plan_;
  const JobDirectory& job_;
  std::filesystem::path partial_;
  Assembly assembly_;
  Timeline timeline_;
  TernaryLoss ternary_loss_;
  File file_;
  std::unique_ptr<FileLock> partial_lock_;
  bool owns_partial_ = false;  ///< rank 0 holds the lock; another run's file is never touched
  std::unique_ptr<QuantizeJournal> journal_;
  std::vector<std::uint64_t> done_;                 ///< 1 for units that stand in the file already
  std::map<std::uint64_t, std::uint64_t> resumed_;  ///< of those this rank has checked: unit -> checksum
  std::uint64_t units_resumed_ = 0;
  std::unique_ptr<UnitCourier> courier_;  ///< --assemble gather on several ranks
};

}  // namespace llmq
