// Generations of an analyze checkpoint: one HDF5 file each, written by all ranks together, complete under its
// name or not there at all. Holds samples and statistics, nothing of ranks. Schema:
// docs/formats/checkpoint.md. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "llmq/core/int128.hpp"

namespace llmq {

struct AnalyzeCheckpoint {
  struct Stat {
    std::string name;  ///< "layer.3.ffn"
    std::uint64_t in_features = 0;
    std::vector<Int128> sum_sq, sum, sum_quad;
    std::vector<float> max_abs;
    std::vector<std::uint64_t> counts;
  };
  std::uint64_t generation = 0;
  std::vector<std::uint32_t> sample_progress;  ///< layers passed, of all samples
  std::uint64_t state_elems = 0;               ///< ctx x hidden
  std::vector<Stat> stats;                     ///< full sums; rank 0 has them when writing
};

using StateOfSample = std::function<std::span<const float>(std::uint64_t sample)>;

/// Collective over `native_comm` (a pointer to MPI_Comm; null: this process alone). Reserves file.tmp,
/// writes, syncs, renames. @returns empty when written; else, on all ranks, why the disk has no room for it
/// (nothing was changed).
/// @param my_samples  samples whose boundary states this rank holds, ascending; no sample is held by two
/// ranks
[[nodiscard]] std::string write_analyze_checkpoint(const std::filesystem::path& file, const void* native_comm,
                                                   const AnalyzeCheckpoint& checkpoint,
                                                   std::span<const std::uint64_t> my_samples,
                                                   const StateOfSample& state_of);

/// Local. Everything but the states, checked against the stored hash. @throws Error(checkpoint).
AnalyzeCheckpoint read_analyze_checkpoint_meta(const std::filesystem::path& file);

/// Local. Calls `take` with the state of each wanted sample, checked against its checksum. @throws
/// Error(checkpoint).
void read_analyze_states(const std::filesystem::path& file, std::span<const std::uint64_t> samples,
                         const std::function<void(std::uint64_t sample, std::span<const float> state)>& take);

}  // namespace llmq
