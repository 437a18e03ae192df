// Which weights of a model are protected, and which types can hold them (docs/super-weights.md).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "llmq/formats/imatrix.hpp"
#include "llmq/model/source.hpp"
#include "llmq/pipeline/quantize_plan.hpp"
#include "llmq/pipeline/stage_context.hpp"

namespace llmq {

/// Collective; every rank has read the same imatrix. The spikes of the imatrix and the top `coverage` of all
/// weights: those the imatrix names if it was made for the same coverage, else found anew. Nothing is raised
/// yet. @throws Error(imatrix) for weights that the model does not have.
Protection gather_protection(const StageContext& context, const ModelSource& source, const Imatrix& imatrix,
                             double coverage);

/// Can each of these types hold every protected weight of the tensor?
struct HoldQuestion {
  const ModelTensor* tensor = nullptr;
  std::span<const std::uint64_t> weights;          ///< flat indices, ascending
  std::span<const std::vector<float>> importance;  ///< as in PlannedTensor
  std::vector<GgmlType> types;                     ///< that can be encoded and whose blocks divide the rows
};

/// Collective: one answer a type of each question, the same on every rank: 1 if it can. Reads and encodes
/// only rows and blocks with protected weights, shared by ranks and threads; a type is given up at the first
/// block that cannot.
std::vector<std::vector<std::uint8_t>> types_that_hold(const StageContext& context, const ModelSource& source,
                                                       std::span<const HoldQuestion> questions);

/// Collective: what must be raised so that every tensor of the plan holds its protected weights, into
/// `protection`: for each tensor whose type cannot, the type with the fewest bits that can.
/// @throws Error(validation) for a protected weight that is no finite number
void raise_types(const StageContext& context, const ModelSource& source, const QuantizePlan& plan,
                 Protection& protection);

}  // namespace llmq
