// The working part of a conversion to a Hugging Face directory: the rows of its units, and the directory they
// go into. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <vector>

#include "llmq/pipeline/stage_context.hpp"

#include "pipeline/hf_plan.hpp"
#include "pipeline/job_directory.hpp"
#include "pipeline/unit_output.hpp"

namespace llmq {

class HfRun {
 public:
  /// @param partial  the directory while it is unfinished; must exist before execute where this rank writes
  HfRun(const StageContext& context, const ModelSource& source, const HfPlan& plan, const JobDirectory& job,
        std::filesystem::path partial);

  /// Collective: the files with tensors, as UnitOutput makes them.
  void execute();
  /// Local: writes the small files beside the weights, removes what an earlier run may have left there, opens
  /// all of it as a reader would, and gives it its name. What had the name before is removed.
  /// @return what the tokenizer files lack of the source's vocabulary; those are then not there
  std::string publish(const NamedTexts& files, const std::filesystem::path& output);
  const UnitOutput& output() const noexcept { return output_; }

 private:
  void make_unit(std::uint32_t index, std::vector<float>& values, std::span<std::byte> bytes);

  const StageContext& context_;
  const ModelSource& source_;
  const HfPlan& plan_;
  std::filesystem::path partial_;
  UnitOutput output_;
};

}  // namespace llmq
