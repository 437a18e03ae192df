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
  struct SensitivityStat {
    std::string name;  ///< "blk.3.attn_q.weight"
    std::vector<Int128> columns, rows;
    std::uint64_t samples = 0;
  };
  std::uint64_t generation = 0;
  std::vector<std::uint32_t> sample_progress;  ///< steps passed, of all samples
  std::uint64_t state_elems = 0;               ///< ctx x hidden
  std::vector<Stat> stats;                     ///< full sums; rank 0 has them when writing
  std::vector<SensitivityStat> sensitivities;  ///< the same
};

/// A state's key says which sample's it is and where in the model it stands; the caller numbers them.
using StateOfKey = std::function<std::span<const float>(std::uint64_t key)>;

/// Collective over `native_comm` (a pointer to MPI_Comm; null: this process alone). Reserves file.tmp,
/// writes, syncs, renames. @returns empty when written; else, on all ranks, why the disk has no room for it
/// (nothing was changed).
/// @param my_keys  keys of the boundary states this rank holds, ascending; none is held by two ranks
[[nodiscard]] std::string write_analyze_checkpoint(const std::filesystem::path& file, const void* native_comm,
                                                   const AnalyzeCheckpoint& checkpoint,
                                                   std::span<const std::uint64_t> my_keys,
                                                   const StateOfKey& state_of);

/// Local. Everything but the states, checked against the stored hash. @throws Error(checkpoint).
AnalyzeCheckpoint read_analyze_checkpoint_meta(const std::filesystem::path& file);

/// Local. Calls `take` with each wanted state, checked against its checksum. @throws
/// Error(checkpoint).
void read_analyze_states(const std::filesystem::path& file, std::span<const std::uint64_t> keys,
                         const std::function<void(std::uint64_t key, std::span<const float> state)>& take);

}  // namespace llmq
