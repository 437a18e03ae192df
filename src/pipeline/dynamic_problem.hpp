// The choice of types as a problem of bit allocation: what each tensor may become and what the limits are.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "llmq/allocate/allocation.hpp"
#include "llmq/allocate/fit_profile.hpp"
#include "llmq/allocate/loss_model.hpp"
#include "llmq/model/source.hpp"
#include "llmq/pipeline/dynamic.hpp"
#include "llmq/quant/type_policy.hpp"

#include "pipeline/tensor_importance.hpp"

namespace llmq {

/// A tensor whose type is to be chosen.
struct DynamicTensor {
  const ModelTensor* tensor = nullptr;
  std::size_t index = 0;                  ///< in the source
  std::vector<GgmlType> measured;         ///< types the error table must know
  std::vector<GgmlType> allowed;          ///< of these; one alone: pinned
  std::optional<GgmlType> fallback_from;  ///< the pin was this, which does not divide the rows
  std::optional<std::size_t> rule;        ///< of the options, that pinned it
  std::string pinned_by;                  ///< in words; empty: free
};

/// What the options' rules and the profile leave to choose. Tensors without importance do not get types that
/// need it. @throws Error(imatrix): a pin needs importance that is missing.
std::vector<DynamicTensor> dynamic_tensors(const ModelSource& source, const TypeRules& rules,
                                           const ProfileFit& fit, const ImportanceMap& importance);

/// Limits on bytes of tensors.
struct DynamicBudget {
  std::uint64_t max_bytes = 0;  ///< of the quantized tensors, padding included
  std::string target;           ///< as DynamicResult::target
  std::string option;           ///< what set it: "--target-size", "/target_bpw of profile x"; empty: nothing
};
/// @param fixed_bytes  of the file: head, and tensors that are not quantized
DynamicBudget dynamic_budget(const DynamicOptions& options, const Profile& profile, const ModelSource& source,
                             const std::vector<DynamicTensor>& tensors, std::uint64_t fixed_bytes);

/// @param losses  null: only sizes matter, every loss is 0
AllocationProblem make_problem(const std::vector<DynamicTensor>& tensors, const LossModel* losses,
                               const ProfileFit& fit, const DynamicBudget& budget);

/// Raises limits of groups, and the whole one unless `keep_whole`, to what is possible. True if there was
/// need.
bool relax(AllocationProblem& problem, bool keep_whole);

/// @throws Error(profile) if nothing fits: says what is possible and which pins cost what.
void require_feasible(const AllocationProblem& problem, const std::vector<DynamicTensor>& tensors,
                      const ProfileFit& fit, const DynamicBudget& budget, std::uint64_t fixed_bytes);

/// A level's own mix as choices; empty where one of its types is not allowed.
std::optional<Choices> stock_choices(const FileLevel& level, const ModelSource& source,
                                     const TypeRules& rules, const std::vector<DynamicTensor>& tensors);

/// One choice a tensor of the source.
std::vector<TypeChoice> type_choices(const ModelSource& source, const std::vector<DynamicTensor>& tensors,
                                     const Choices& choices);

/// Whose general.file_type a mix gets: that of the type most weights have.
const FileLevel& level_of(const std::vector<DynamicTensor>& tensors, const Choices& choices);

}  // namespace llmq
