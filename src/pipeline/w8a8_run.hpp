// The working part of a smoothquant run: the rows of its units, and the directory they go into.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <vector>

#include "llmq/pipeline/stage_context.hpp"
#include "llmq/quant/int8_product.hpp"
#include "llmq/smoothquant/smoothed_source.hpp"

#include "pipeline/job_directory.hpp"
#include "pipeline/smooth_stage.hpp"
#include "pipeline/unit_output.hpp"
#include "pipeline/w8a8_plan.hpp"

namespace llmq {

class W8a8Run {
 public:
  /// @param partial  the directory while it is unfinished; must exist before execute where this rank writes
  W8a8Run(const StageContext& context, const ModelSource& source, const SmoothedModel& smoothed,
          const W8a8Plan& plan, const JobDirectory& job, const std::filesystem::path& partial,
          Assembly assembly);

  /// Collective: the files with tensors, as UnitOutput makes them.
  void execute();
  const UnitOutput& output() const noexcept { return output_; }

 private:
  struct Scratch {
    std::vector<float> weights;
    Int8Rows rows;
  };

  void make_unit(std::uint32_t index, Scratch& scratch, std::span<std::byte> bytes);

  const StageContext& context_;
  const W8a8Plan& plan_;
  const SmoothedModel& model_;
  SmoothedSource smoothed_;
  UnitOutput output_;
};

}  // namespace llmq
