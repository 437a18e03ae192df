// Fills the error table: every candidate type tried on a sample of every tensor's rows, shared by all ranks.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "llmq/formats/atlas.hpp"
#include "llmq/model/source.hpp"
#include "llmq/pipeline/stage_context.hpp"

#include "pipeline/job_directory.hpp"
#include "pipeline/tensor_importance.hpp"

namespace llmq {

/// A tensor, its importance, and the types that are to be known for it.
struct AtlasTask {
  const ModelTensor* tensor = nullptr;
  const TensorImportance* importance = nullptr;                   ///< null: every column counts alike
  const std::vector<std::uint64_t>* protected_weights = nullptr;  ///< flat indices, ascending; null: none
  std::vector<GgmlType> types;  ///< that divide its rows and can be encoded; ascending
};

/// The rows looked at, ascending: one of each of `limit` equal parts, chosen by the tensor's name. All rows
/// when there are no more, or limit is 0.
std::vector<std::uint64_t> sample_rows(const ModelTensor& tensor, std::uint64_t limit);

/// Squared error of the outputs of one row, expected over inputs of these importances and means: with
/// independent inputs that is sum_j (E[a_j^2] - E[a_j]^2) e_j^2 + (sum_j E[a_j] e_j)^2.
/// @param importance  empty: 1 for each column   @param means  empty: taken for 0
double output_error(std::span<const float> row, std::span<const float> decoded,
                    std::span<const float> importance, std::span<const float> means) noexcept;

/// Collective; cells and power go into rank 0's `atlas`, the same whatever the ranks. Finished parts are kept
/// in `job` and taken up again. What `atlas` has of other tensors and types stays.
/// @throws Error(validation) for weights that are not finite, Error(interrupted).
void measure_errors(const StageContext& context, const ModelSource& source, std::span<const AtlasTask> tasks,
                    std::uint64_t row_limit, const JobDirectory& job, Atlas& atlas);

}  // namespace llmq
