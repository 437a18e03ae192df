// Files that are made unit by unit, by whichever rank is free: reserved at their exact size, filled at known
// offsets, continued after a stop, read back and compared before they count as written.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "llmq/core/file.hpp"
#include "llmq/pipeline/quantize.hpp"
#include "llmq/pipeline/stage_context.hpp"
#include "llmq/pipeline/timeline.hpp"

#include "pipeline/job_directory.hpp"
#include "pipeline/quantize_journal.hpp"
#include "pipeline/unit_courier.hpp"

namespace llmq {

/// A file to fill.
struct OutputFile {
  std::filesystem::path path;   ///< while it is unfinished: NAME.partial, or a file of such a directory
  std::uint64_t bytes = 0;      ///< of the whole file
  std::vector<std::byte> head;  ///< its first bytes, before all units
};

/// Bytes [offset, offset + size) of a file.
struct OutputRange {
  std::uint32_t file = 0;
  std::uint64_t offset_bytes = 0;
  std::uint64_t size_bytes = 0;
};

/// What is made at once. Its bytes are those of its ranges, one after the other.
struct OutputUnit {
  std::vector<OutputRange> ranges;
  double cost = 0;  ///< relative time, for the split over nodes

  std::uint64_t bytes() const noexcept;
};

class UnitOutput {
 public:
  /// Fills the unit's bytes. Called by worker threads; `worker` is below the context's threads.
  using Maker = std::function<void(std::uint32_t unit, std::size_t worker, std::span<std::byte> bytes)>;

  /// @param files  the lock of the first one stands for all
  UnitOutput(const StageContext& context, std::vector<OutputFile> files, std::vector<OutputUnit> units,
             const JobDirectory& job, Assembly assembly);

  /// Collective: reserves the files, finds what an earlier start has left, has the rest made, verifies.
  /// @param progress  what the bar says, and of how many layers
  /// @throws Error(interrupted) after a signal, Error(checkpoint) when another run writes these files,
  /// Error(general) for I/O, and what `make` throws.
  void execute(const Maker& make, std::string_view progress, std::uint32_t layers);
  /// True on rank 0 when this run, and no other, holds the unfinished files.
  bool owns_files() const noexcept { return owns_files_; }
  /// For `make` to note what it does.
  Timeline& timeline() noexcept { return timeline_; }
  std::uint64_t units_resumed() const noexcept { return units_resumed_; }
  /// Collective: what each rank's threads did since this was made, on rank 0.
  std::vector<RankTimeline> timelines() const { return timeline_.gather(context_.comm); }

 private:
  void reserve_files();
  void open_files();
  void find_finished_units();
  void make_units(const Maker& make, std::string_view progress, std::uint32_t layers);
  void place_unit(std::uint32_t index, std::span<const std::byte> bytes);
  /// True if this rank writes into the files itself.
  bool writes() const noexcept { return assembly_ == Assembly::shared || context_.comm.is_root(); }
  /// True if this rank, of those that can read the files, shall look at unit number `unit`.
  bool checks(std::uint64_t unit) const noexcept;
  /// Checksum of each unit as claimed by the rank that made it or found it.
  std::vector<std::uint64_t> collect_checksums() const;
  void verify() const;
  bool unit_matches(std::uint32_t index, std::uint64_t checksum) const;

  const StageContext& context_;
  std::vector<OutputFile> plan_;
  std::vector<OutputUnit> units_;
  const JobDirectory& job_;
  Assembly assembly_;
  Timeline timeline_;
  std::vector<File> files_;
  std::unique_ptr<FileLock> lock_;
  bool owns_files_ = false;
  std::unique_ptr<QuantizeJournal> journal_;
  std::vector<std::uint64_t> done_;                 ///< 1 for units that stand in the files already
  std::map<std::uint64_t, std::uint64_t> resumed_;  ///< of those this rank has checked: unit -> checksum
  std::uint64_t units_resumed_ = 0;
  std::unique_ptr<UnitCourier> courier_;  ///< --assemble gather on several ranks
};

}  // namespace llmq
