// Drawings of the analyze page, each one SVG. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "llmq/report/analyze_report.hpp"

namespace llmq {

/// Roles whose inputs, and so whose figures, are the same: "attn_q, attn_k, attn_v".
struct RoleGroup {
  std::string roles;
  RelativeError error;
};
std::vector<RoleGroup> group_roles(const std::vector<RoleError>& errors);

/// The predicted error over the part of the samples, a line a group, both axes logarithmic. At least one
/// group.
std::string draw_convergence(const std::vector<RoleGroup>& groups, std::uint64_t samples);

/// Layers in a row, those with super weights marked with how many they hold.
std::string draw_layer_map(const AnalyzeReport& report);

/// Tokens of each expert as a bar; experts without any as a mark below the line.
std::string draw_experts(const TensorReport& tensor);

}  // namespace llmq
