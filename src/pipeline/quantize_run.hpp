// The working part of a quantize run: the .partial files, the rows of their units, and publishing.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "llmq/pipeline/quantize.hpp"
#include "llmq/pipeline/quantize_plan.hpp"
#include "llmq/pipeline/stage_context.hpp"

#include "pipeline/job_directory.hpp"
#include "pipeline/quantize_files.hpp"
#include "pipeline/ternary_loss.hpp"
#include "pipeline/unit_output.hpp"

namespace llmq {

/// Program, libraries, file heads: what a quantize process takes beside its units.
inline constexpr std::uint64_t kBaseMemoryBytes = std::uint64_t{64} << 20;

class QuantizeRun {
 public:
  QuantizeRun(const StageContext& context, const ModelSource& source, const QuantizePlan& plan,
              const JobDirectory& job, QuantizeFiles files, Assembly assembly);

  /// Collective: the files, as UnitOutput makes them.
  void execute();
  /// Collective: checks the finished files with the strict reader, and gives them their names.
  void publish();
  /// Local, after a failure that no resume can mend: removes the unfinished files, if they are this run's.
  void discard() noexcept;

  const UnitOutput& output() const noexcept { return output_; }

 private:
  void encode_unit(std::uint32_t index, std::vector<float>& weights, std::span<std::byte> encoded);
  void check_values(const PlannedTensor& tensor, std::uint64_t first_row,
                    std::span<const float> weights) const;

  const StageContext& context_;
  const ModelSource& source_;
  const QuantizePlan& plan_;
  QuantizeFiles files_;
  TernaryLoss ternary_loss_;
  UnitOutput output_;
};

}  // namespace llmq
