// The working part of a quantize run: the .partial file, the rows of its units, and publishing.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <vector>

#include "llmq/pipeline/quantize.hpp"
#include "llmq/pipeline/quantize_plan.hpp"
#include "llmq/pipeline/stage_context.hpp"

#include "pipeline/job_directory.hpp"
#include "pipeline/ternary_loss.hpp"
#include "pipeline/unit_output.hpp"

namespace llmq {

/// Program, libraries, file heads: what a quantize process takes beside its units.
inline constexpr std::uint64_t kBaseMemoryBytes = std::uint64_t{64} << 20;

class QuantizeRun {
 public:
  QuantizeRun(const StageContext& context, const ModelSource& source, const QuantizePlan& plan,
              const JobDirectory& job, std::filesystem::path partial, Assembly assembly);

  /// Collective: the file, as UnitOutput makes it.
  void execute();
  /// Collective: syncs, renames, checks the finished file with the strict reader.
  void publish(const std::filesystem::path& output);
  /// Local, after a failure that no resume can mend: removes the unfinished file, if it is this run's.
  void discard() noexcept;

  const UnitOutput& output() const noexcept { return output_; }

 private:
  void encode_unit(std::uint32_t index, std::vector<float>& weights, std::span<std::byte> encoded);
  void check_values(const PlannedTensor& tensor, std::uint64_t first_row,
                    std::span<const float> weights) const;

  const StageContext& context_;
  const ModelSource& source_;
  const QuantizePlan& plan_;
  std::filesystem::path partial_;
  TernaryLoss ternary_loss_;
  UnitOutput output_;
};

}  // namespace llmq
