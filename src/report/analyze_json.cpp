// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "llmq/report/analyze_report.hpp"

#include "report/json_values.hpp"

namespace llmq {
namespace {

using Json = nlohmann::ordered_json;

Json error_json(const RelativeError& error) {
  Json predicted = Json::array();
  for (const double part : kSampleParts) predicted.push_back(predicted_error(error.median, part));
  return {{"median", error.median}, {"p95", error.p95}, {"predicted_medians", predicted}};
}

Json outliers_json(const OutlierColumns& outliers) {
  Json top = Json::array();
  for (const OutlierColumn& column : outliers.top) {
    top.push_back({{"matrix", column.matrix},
                   {"column", column.column},
                   {"importance", column.importance},
                   {"ratio", column.ratio}});
  }
  return {{"count", outliers.count}, {"top", top}};
}

Json experts_json(const TensorReport& tensor) {
  if (!tensor.experts) return nullptr;
  return {{"tokens", tensor.experts->tokens}, {"without_tokens", tensor.experts->without_tokens}};
}

Json tensor_json(const TensorReport& tensor) {
  return {{"name", tensor.name},
          {"layer", or_null(tensor.layer)},
          {"role", tensor.role},
          {"in_features", tensor.in_features},
          {"matrices", tensor.n_mat},
          {"tokens", tensor.tokens},
          {"importance",
           {{"min", tensor.importance.min},
            {"median", tensor.importance.median},
            {"mean", tensor.importance.mean},
            {"max", tensor.importance.max}}},
          {"score", or_null(tensor.score)},
          {"outlier_columns", outliers_json(tensor.outliers)},
          {"kurtosis", or_null(tensor.kurtosis)},
          {"dead_columns", tensor.dead_columns},
          {"covered_weights", tensor.covered_weights},
          {"relative_standard_error", tensor.error ? error_json(*tensor.error) : Json(nullptr)},
          {"experts", experts_json(tensor)}};
}

Json convergence_json(const AnalyzeReport& report) {
  Json roles = Json::array();
  for (const RoleError& one : report.role_errors) {
    Json row = {{"role", one.role}};
    row.update(error_json(one.error));
    roles.push_back(row);
  }
  return {
      {"note", "an estimate: takes tokens as independent"}, {"sample_parts", kSampleParts}, {"roles", roles}};
}

}  // namespace

Json spikes_json(const std::vector<SuperWeight>& spikes) {
  Json list = Json::array();
  for (const SuperWeight& spike : spikes) {
    list.push_back({{"tensor", spike.tensor},
                    {"row", spike.row},
                    {"column", spike.column},
                    {"value", spike.value},
                    {"max_input", spike.max_input},
                    {"max_output", spike.max_output},
                    {"loss_change", spike.loss_change},
                    {"kl_divergence", spike.kl_divergence}});
  }
  return list;
}

std::string analyze_report_json(const AnalyzeReport& report) {
  Json tensors = Json::array();
  for (const TensorReport& tensor : report.tensors) tensors.push_back(tensor_json(tensor));
  const Json document = {{"kind", "analyze_report"},
                         {"schema_version", 1},
                         {"model",
                          {{"name", report.model_name},
                           {"architecture", report.architecture},
                           {"num_layers", report.n_layers},
                           {"hidden_size", report.hidden_size}}},
                         {"method", report.method},
                         {"calibration_samples", report.samples},
                         {"ctx", report.ctx},
                         {"dataset_name", report.dataset_name},
                         {"dataset_hash", report.dataset_hash},
                         {"model_hash", report.model_hash},
                         {"tokenizer_hash", report.tokenizer_hash},
                         {"content_hash", report.content_hash},
                         {"outlier_ratio", kOutlierRatio},
                         {"super_weights",
                          {{"searched", report.super_weights_searched},
                           {"coverage", report.coverage},
                           {"total_protected", report.total_protected},
                           {"spikes", spikes_json(report.spikes)}}},
                         {"convergence", convergence_json(report)},
                         {"tensors", tensors}};
  return document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace llmq
