// `profile create` and `profile validate`: profiles from importance, and against a model.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "llmq/allocate/fit_profile.hpp"
#include "llmq/allocate/profile.hpp"
#include "llmq/allocate/target_size.hpp"
#include "llmq/model/source.hpp"
#include "llmq/pipeline/stage_context.hpp"
#include "llmq/quant/type_rules.hpp"

namespace llmq {

struct ProfileCreateOptions {
  std::filesystem::path imatrix;
  std::string name;
  std::optional<double> target_bpw;  ///< neither target: kDefaultTargetBpw
  std::optional<TargetSize> target_size;
  std::filesystem::path model;   ///< empty: from the imatrix alone
  std::filesystem::path output;  ///< empty: default_profile_path(name)
  bool force = false;
  CheckpointOptions checkpoints{.enabled = false, .resume = {}};  ///< of the error table that a model needs
};

struct ProfileCreateResult {
  Profile profile;
  std::filesystem::path output;
};

/// "NAME.dqprofile".
std::filesystem::path default_profile_path(const std::string& name);

/// Collective; the result is on rank 0. Without a model bits follow importance; with one all ranks make its
/// error table, unless it stands beside the imatrix, and the bit allocation decides. The file is there whole,
/// or not at all.
/// @throws Error(invalid_arguments): the name, a size in bytes without a model, the output's place;
/// Error(imatrix); Error(profile): a target that is impossible, also for the model.
ProfileCreateResult run_profile_create(const StageContext& context, const ProfileCreateOptions& options);

struct ProfileValidateOptions {
  std::string profile;              ///< name or path
  std::filesystem::path directory;  ///< of the user's profiles
  std::filesystem::path model;
};

struct ProfileValidateResult {
  std::string profile;
  std::filesystem::path model;
  std::vector<ProfileProblem> problems;  ///< empty: it fits
  std::vector<std::string> notes;
  std::uint64_t tensors = 0;                ///< that are quantized
  std::uint64_t pinned = 0;                 ///< of them, with an exact type
  std::uint64_t limited = 0;                ///< of them, in a group with a limit
  std::optional<std::uint64_t> most_bytes;  ///< of all quantized tensors
  double most_bpw = 0;                      ///< the same a weight; 0 without a target
};

/// Collective; rank 0 opens the model's list of tensors, reads no weight, and has the result.
/// @throws Error(profile) for a profile that is not found or malformed; the model's errors.
ProfileValidateResult run_profile_validate(const StageContext& context,
                                           const ProfileValidateOptions& options);

/// The tensors of a model as profiles see them, in its order.
/// @param rules  may keep the output from being quantized
std::vector<ProfileTensor> profile_tensors(const ModelSource& source, const TypeRules& rules = {});

}  // namespace llmq
