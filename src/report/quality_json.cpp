// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "llmq/report/quality_report.hpp"

#include "report/json_values.hpp"
#include "report/quality_fields.hpp"

namespace llmq {
namespace {

using Json = nlohmann::ordered_json;

Json metrics_json(const QualityResult& result, const MetricSet& metrics) {
  Json json = Json::object();
  const auto add = [&](const char* name, double value) { json[name] = value; };
  if (metrics.perplexity) for_each_perplexity(result.metrics, add);
  if (metrics.bpw) json["effective_bpw"] = result.effective_bpw;
  if (metrics.size) json["compression_ratio"] = result.compression_ratio;
  if (metrics.kld) for_each_divergence(result.metrics, add);
  if (metrics.need_pass()) {
    json["chunks"] = result.chunks;
    json["scores"] = result.metrics.scores;
  }
  return json;
}

Json layers_json(const std::vector<LayerError>& layers) {
  Json list = Json::array();
  for (const LayerError& layer : layers) {
    list.push_back({{"layer_name", layer.layer_name},
                    {"mse", layer.mse},
                    {"max_error", layer.max_error},
                    {"bit_width", layer.bit_width},
                    {"cosine", layer.cosine},
                    {"weighted_error", or_null(layer.weighted_error)}});
  }
  return list;
}

Json tensors_json(const std::vector<TensorError>& tensors) {
  Json list = Json::array();
  for (const TensorError& tensor : tensors) {
    list.push_back({{"name", tensor.name},
                    {"type", tensor.type},
                    {"weights", tensor.weights},
                    {"bit_width", tensor.bit_width},
                    {"mse", tensor.mse},
                    {"max_error", tensor.max_error},
                    {"cosine", tensor.cosine},
                    {"weighted_error", or_null(tensor.weighted_error)}});
  }
  return list;
}

Json positions_json(const std::vector<PositionDivergence>& positions) {
  Json list = Json::array();
  for (const PositionDivergence& part : positions) {
    list.push_back(
        {{"begin", part.begin}, {"end", part.end}, {"kld", part.kld.mean}, {"kld_error", part.kld.error}});
  }
  return list;
}

Json sentences_json(const std::vector<SentenceReport>& sentences) {
  Json list = Json::array();
  for (const SentenceReport& sentence : sentences) {
    Json tokens = Json::array();
    for (const SentenceToken& token : sentence.tokens) {
      tokens.push_back({{"text", token.text},
                        {"kld", token.kld},
                        {"p_original", token.p_original},
                        {"p_quantized", token.p_quantized},
                        {"top_original", token.top_original},
                        {"top_quantized", token.top_quantized}});
    }
    list.push_back({{"chunk", sentence.chunk},
                    {"position", sentence.position},
                    {"kld", sentence.kld},
                    {"before", sentence.before},
                    {"tokens", tokens}});
  }
  return list;
}

Json identity_json(const QualityIdentity& identity) {
  return {{"version", identity.version},
          {"original_hash", identity.original_hash},
          {"quantized_hash", identity.quantized_hash},
          {"dataset_hash", identity.dataset_hash},
          {"ctx", identity.ctx},
          {"chunks", identity.chunks}};
}

Json passes_json(const PassSeconds& passes) {
  return {{"original_cpu_seconds", passes.original},
          {"candidates_cpu_seconds", passes.candidates},
          {"original_from_base", passes.from_base}};
}

}  // namespace

Json quality_json(const QualityResult& result, const std::vector<std::string>& warnings) {
  return {{"status", "success"},
          {"original_model", result.original.string()},
          {"quantized_model", result.quantized.string()},
          {"metrics", metrics_json(result, {})},
          {"file_size", result.file_bytes},
          {"ctx", result.ctx},
          {"dataset", result.dataset},
          {"layer_errors", layers_json(result.layer_errors)},
          {"tensor_errors", tensors_json(result.tensor_errors)},
          {"coherence_score", or_null(result.coherence_score)},
          {"kld_along_positions", positions_json(result.positions)},
          {"worst_sentences", sentences_json(result.sentences)},
          {"identity", identity_json(result.identity)},
          {"timestamp", result.timestamp},
          {"duration_seconds", result.seconds},
          {"passes", passes_json(result.passes)},
          {"warnings", warnings}};
}

Json candidate_json(const QualityResult& candidate, const MetricSet& metrics) {
  Json row = {{"quantized_model", candidate.quantized.string()}, {"file_size", candidate.file_bytes}};
  row.update(metrics_json(candidate, metrics));
  if (candidate.coherence_score) row["coherence_score"] = *candidate.coherence_score;
  return row;
}

Json compare_json(const CompareResult& result, const std::vector<std::string>& warnings) {
  Json candidates = Json::array();
  for (const QualityResult& one : result.candidates) {
    candidates.push_back(candidate_json(one, result.metrics));
    if (result.metrics.kld) candidates.back()["kld_along_positions"] = positions_json(one.positions);
  }
  Json document = {{"status", "success"},           {"original_model", result.original.string()},
                   {"candidates", candidates},      {"warnings", warnings},
                   {"timestamp", result.timestamp}, {"duration_seconds", result.seconds}};
  if (result.metrics.need_pass()) {
    document["ctx"] = result.ctx;
    document["dataset"] = result.dataset;
    document["passes"] = passes_json(result.passes);
  }
  return document;
}

}  // namespace llmq
