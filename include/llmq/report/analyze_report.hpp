// What an importance matrix says of a model, as plain numbers (pure), and their two forms: JSON and one HTML
// page that needs nothing beside itself. Equal matrices give equal bytes: no time, no path, no host.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "llmq/formats/imatrix.hpp"
#include "llmq/model/spec.hpp"

namespace llmq {

/// A column stands out when its importance is above so many times its tensor's median.
inline constexpr double kOutlierRatio = 50;
inline constexpr std::size_t kShownOutliers = 5;

struct Spread {
  double min = 0, median = 0, mean = 0, max = 0;
};

struct OutlierColumn {
  std::uint64_t matrix = 0;  ///< the expert, 0 without experts
  std::uint64_t column = 0;
  double importance = 0;
  double ratio = 0;  ///< importance over the tensor's median
};

struct OutlierColumns {
  std::uint64_t count = 0;
  std::vector<OutlierColumn> top;  ///< the first kShownOutliers, largest ratio first
};

/// Relative standard error of the columns' mean a^2, were tokens independent:
/// sqrt((E a^4 - (E a^2)^2) / tokens) / E a^2.
struct RelativeError {
  double median = 0, p95 = 0;  ///< over columns
};

struct ExpertCoverage {
  std::vector<std::uint64_t> tokens;  ///< by expert
  std::uint64_t without_tokens = 0;   ///< experts
};

struct TensorReport {
  std::string name;
  std::optional<std::uint32_t> layer;  ///< none: stands outside the layers, "output.weight"
  std::string role;                    ///< "attn_q"
  std::uint64_t in_features = 0;
  std::uint64_t n_mat = 1;
  std::uint64_t tokens =
      0;              ///< rows of input, over all matrices (calls, where only a legacy .dat was merged)
  Spread importance;  ///< by the method, over the columns of matrices that were seen
  std::optional<double> score;  ///< sensitivity a weight and sample; none: not measured
  OutlierColumns outliers;
  std::optional<double> kurtosis;  ///< E a^4 / (E a^2)^2 over tokens and columns; 3 for a normal distribution
  std::uint64_t dead_columns = 0;  ///< without importance: 0 at every token
  std::uint64_t covered_weights = 0;
  std::optional<RelativeError> error;
  std::optional<ExpertCoverage> experts;

  /// What tensors are ranked by: the score where there is one, else the mean importance.
  double rank_value() const noexcept { return score.value_or(importance.mean); }
};

/// Medians over a role's tensors.
struct RoleError {
  std::string role;
  RelativeError error;
};

struct AnalyzeReport {
  std::string model_name, architecture;
  std::uint32_t n_layers = 0, hidden_size = 0;
  std::string method, dataset_name, dataset_hash, model_hash, tokenizer_hash, content_hash;
  std::uint64_t samples = 0, ctx = 0;
  std::vector<TensorReport> tensors;   ///< by layer, role, name
  std::vector<std::string> roles;      ///< that stand in layers, as data runs through one
  std::vector<RoleError> role_errors;  ///< in the order of `roles`; roles without figures are left out
  bool super_weights_searched = false;
  double coverage = 0;
  std::uint64_t total_protected = 0;
  std::vector<SuperWeight> spikes;
};

/// Parts of the samples for which the error is predicted.
inline constexpr std::array kSampleParts = {0.125, 0.25, 0.5, 1.0};
/// 1/sqrt(n) from all samples to a part of them.
double predicted_error(double error_of_all, double part);

AnalyzeReport make_analyze_report(const Imatrix& imatrix, const ModelSpec& spec);

/// The layer of "blk.3.ffn_down.weight"; none for other names.
std::optional<std::uint32_t> layer_of(const std::string& tensor);

std::string analyze_report_json(const AnalyzeReport& report);
std::string analyze_report_html(const AnalyzeReport& report);

/// Also how other results list them.
nlohmann::ordered_json spikes_json(const std::vector<SuperWeight>& spikes);

}  // namespace llmq
