// A LoRA adapter (GGUF) that adds to each protected weight what it lacks: weight - decoded. One factor picks
// rows or columns, the other holds the differences. docs/super-weights.md. SPDX-License-Identifier:
// Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "llmq/pipeline/quantize_plan.hpp"

#include "pipeline/protection_report.hpp"

namespace llmq {

/// Pure: the adapter's head and what its factors are.
struct LoraPlan {
  /// Factors of one tensor: delta = B A, of rank `rank` in each of its matrices.
  struct Factors {
    std::uint32_t tensor = 0;  ///< of the quantize plan
    bool by_rows = true;       ///< A holds rows of differences; else B holds columns of them
    std::uint64_t rank = 0;
  };
  GgufHeader header;
  std::vector<Factors> factors;  ///< two tensors of the header each
  std::uint64_t file_bytes = 0;
};

/// The embedding table is left out: its factors would have another form.
LoraPlan plan_lora(const std::string& architecture, const QuantizePlan& plan);

/// Local, rank 0. Writes under a temporary name beside `path`, syncs, renames.
/// @param measured  in order of the file
void write_lora(const LoraPlan& lora, const QuantizePlan& plan, const std::vector<MeasuredWeight>& measured,
                const std::filesystem::path& path);

}  // namespace llmq
