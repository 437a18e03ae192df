#include "llmq/report/analyze_report.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string_view>
#include <tuple>
#include <utility>

#include "report/entry_statistics.hpp"
#include "report/tensor_place.hpp"

namespace llmq {
namespace {

TensorReport report_tensor(const std::string& name, const ImatrixEntry& entry, const SuperWeights& weights) {
  const TensorPlace parts = place_of(name);
  TensorReport tensor;
  tensor.name = name;
  tensor.layer = parts.layer;
  tensor.role = parts.role;
  tensor.in_features = entry.in_features;
  tensor.n_mat = entry.n_mat;
  tensor.tokens = std::accumulate(entry.counts.begin(), entry.counts.end(), std::uint64_t{0});
  const ColumnImportance columns = column_importance(entry);
  tensor.importance = spread_of(columns.values);
  tensor.score = score_of(entry);
  tensor.outliers = outlier_columns(columns, tensor.importance.median, entry.in_features);
  tensor.kurtosis = kurtosis_of(entry);
  const auto covered = weights.covered.find(name);
  if (covered != weights.covered.end()) tensor.covered_weights = covered->second.size();
  tensor.error = relative_error(entry);
  tensor.experts = expert_coverage(entry);
  return tensor;
}

/// Layers first, then what stands outside of them.
bool stands_before(const TensorReport& a, const TensorReport& b) {
  const auto key = [](const TensorReport& tensor) {
    return std::tuple(!tensor.layer, tensor.layer.value_or(0), order_of_role(tensor.role),
                      std::string_view(tensor.name));
  };
  return key(a) < key(b);
}

std::vector<std::string> roles_in_layers(const std::vector<TensorReport>& tensors) {
  std::vector<std::string> roles;
  for (const TensorReport& tensor : tensors) {
    if (tensor.layer) roles.push_back(tensor.role);
  }
  return in_order(std::move(roles));
}

std::vector<RoleError> errors_by_role(const AnalyzeReport& report) {
  std::vector<RoleError> errors;
  for (const std::string& role : report.roles) {
    std::vector<double> medians, tails;
    for (const TensorReport& tensor : report.tensors) {
      if (!tensor.layer || tensor.role != role || !tensor.error) continue;
      medians.push_back(tensor.error->median);
      tails.push_back(tensor.error->p95);
    }
    if (!medians.empty()) errors.push_back({role, {median_of(medians), median_of(tails)}});
  }
  return errors;
}

}  // namespace

double predicted_error(double error_of_all, double part) { return error_of_all / std::sqrt(part); }

std::optional<std::uint32_t> layer_of(const std::string& tensor) { return place_of(tensor).layer; }

AnalyzeReport make_analyze_report(const Imatrix& imatrix, const ModelSpec& spec) {
  AnalyzeReport report;
  report.model_name = spec.name;
  report.architecture = spec.architecture;
  report.n_layers = spec.n_layers;
  report.hidden_size = spec.hidden_size;
  report.method = imatrix.method;
  report.dataset_name = imatrix.dataset_name;
  report.dataset_hash = imatrix.dataset_hash;
  report.model_hash = imatrix.model_hash;
  report.tokenizer_hash = imatrix.tokenizer_hash;
  report.content_hash = imatrix.content_hash();
  report.samples = imatrix.samples;
  report.ctx = imatrix.ctx;
  const ImatrixGaps gaps = find_gaps(imatrix);
  for (const auto& [name, entry] : imatrix.entries) {
    report.tensors.push_back(report_tensor(name, entry, imatrix.super_weights));
    const auto dead = gaps.dead_columns.find(name);
    if (dead != gaps.dead_columns.end()) report.tensors.back().dead_columns = dead->second;
  }
  std::sort(report.tensors.begin(), report.tensors.end(), stands_before);
  report.roles = roles_in_layers(report.tensors);
  report.role_errors = errors_by_role(report);
  report.super_weights_searched = imatrix.super_weights.searched;
  report.coverage = imatrix.super_weights.coverage;
  report.total_protected = imatrix.count_super_weights();
  report.spikes = imatrix.super_weights.spikes;
  return report;
}

}  // namespace llmq
