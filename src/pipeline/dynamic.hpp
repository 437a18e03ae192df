// The dynamic stage: importance matrix (made if there is none), error table, choice of types.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>

#include "llmq/allocate/profile.hpp"
#include "llmq/formats/imatrix.hpp"
#include "llmq/pipeline/dynamic.hpp"
#include "llmq/pipeline/quantize.hpp"
#include "llmq/pipeline/quantize_plan.hpp"

#include "pipeline/dynamic_problem.hpp"
#include "pipeline/run_imatrix.hpp"

namespace llmq {

/// What is known of a dynamic run before anything is measured.
struct DynamicRequest {
  QuantizeOptions options;
  PlanChanges changes;
  Profile profile;
  ProfileFit fit;
  bool is_preset = false;
  CheckpointOptions checkpoints;
};

/// Local: the profile found and fitted to the model; targets checked as far as sizes alone go.
/// @throws Error(profile), Error(invalid_arguments) for options that do not go together.
DynamicRequest prepare_dynamic(const QuantizeOptions& options, const PlanChanges& changes,
                               const ModelSource& source);

/// The matrix to use: the one of the options, else one made now or earlier. Collective; the same on every
/// rank.
RunImatrix dynamic_imatrix(const StageContext& context, const DynamicRequest& request);

/// Collective: the weights to protect, by the options or in the layers that the profile protects. No types
/// are raised: tensors are only offered types that hold their protected weights.
std::optional<Protection> dynamic_protection(const StageContext& context, const ModelSource& source,
                                             const DynamicRequest& request, const RunImatrix& imatrix);

/// Collective: takes types away that cannot hold a tensor's protected weights. A pin that cannot becomes the
/// smallest type that can, with a warning. @throws Error(validation) where no type can.
void keep_types_that_hold(const StageContext& context, const ModelSource& source,
                          const ImportanceMap& importance, const Protection& protection,
                          std::vector<DynamicTensor>& tensors);

struct DynamicChoice {
  PlanRecipe recipe;
  DynamicResult result;
};

/// Collective; every rank gets the same recipe.
/// @param protection  null: none
/// @param fixed_bytes  of a file with this recipe: its head and the tensors that are not quantized
DynamicChoice choose_dynamic(const StageContext& context, const ModelSource& source,
                             const DynamicRequest& request, const RunImatrix& imatrix,
                             const Protection* protection, const std::string& fingerprint,
                             const std::function<std::uint64_t(const PlanRecipe&)>& fixed_bytes);

}  // namespace llmq
