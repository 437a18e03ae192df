// Results of the profile commands. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "llmq/allocate/profile.hpp"
#include "llmq/pipeline/profile.hpp"

namespace llmq::cli {

std::string human(const std::vector<ListedProfile>& profiles);
std::string human(const FoundProfile& found);
std::string human(const ProfileCreateResult& result);
std::string human(const ProfileValidateResult& result);

std::string json(const std::vector<ListedProfile>& profiles, const std::vector<std::string>& warnings);
/// A .dqprofile with the members status and warnings, which readers of profiles pass over.
std::string json(const FoundProfile& found, const std::vector<std::string>& warnings);
std::string json(const ProfileCreateResult& result, const std::vector<std::string>& warnings);
/// Where there are problems, also the members of an error.
std::string json(const ProfileValidateResult& result, const std::vector<std::string>& warnings);

/// "2 problems: profile mine does not fit ./model".
std::string misfit_message(const ProfileValidateResult& result);
inline constexpr const char* kMisfitSuggestion =
    "Change the profile at the places named, or take another one";

}  // namespace llmq::cli
