// The contract's JSON results: keys may be added, never renamed or removed.
// SPDX-License-Identifier: Apache-2.0
#include "llmq/report/analyze_report.hpp"

#include "cli/json_document.hpp"
#include "cli/quantize_command.hpp"
#include "cli/render.hpp"
#include "cli/render_coherence.hpp"
#include "cli/render_quality.hpp"
#include "cli/render_smoothquant.hpp"

namespace llmq::cli {
namespace {

/// Thread-seconds of every rank; slices hold [read, compute, write], what is missing to threads x width is
/// waiting.
Json timeline_json(const std::vector<RankTimeline>& timelines) {
  Json ranks = Json::array();
  for (const RankTimeline& one : timelines) {
    ranks.push_back({{"rank", one.rank},
                     {"node", one.node},
                     {"threads", one.threads},
                     {"seconds", one.seconds},
                     {"read", one.total(Activity::read)},
                     {"compute", one.total(Activity::compute)},
                     {"write", one.total(Activity::write)},
                     {"wait", one.wait()},
                     {"slice_seconds", one.slice_seconds},
                     {"slices", one.slices}});
  }
  return ranks;
}

/// What only a plan can say.
Json plan_json(const QuantizeResult& result) {
  return {{"head_bytes", result.head_bytes},
          {"padding_bytes", result.padding_bytes},
          {"memory_bytes", result.memory_plan_bytes},
          {"estimated_seconds", result.estimated_seconds}};
}

Json shards_json(const std::vector<OutputShard>& shards) {
  Json list = Json::array();
  for (const OutputShard& one : shards)
    list.push_back({{"path", one.path.string()}, {"bytes", one.bytes}, {"tensors", one.tensors}});
  return list;
}

Json fallback_cost(const QuantizedTensor& tensor) {
  if (tensor.fallback_from.empty()) return nullptr;
  return {{"bytes", tensor.fallback_bytes}, {"bits_per_weight", tensor.fallback_bpw}};
}

/// What level dynamic adds.
void add_dynamic(const DynamicResult& dynamic, Json& document) {
  Json layers = Json::array();
  for (const LayerSummary& layer : dynamic.layers) {
    layers.push_back({{"layer_name", layer.layer_name},
                      {"bit_width", layer.bit_width},
                      {"parameter_count", layer.parameter_count},
                      {"is_protected", layer.is_protected}});
  }
  document["profile"] = dynamic.profile;
  document["layer_summary"] = layers;
  document["prediction"] = {
      {"kld", dynamic.predicted_kld},
      {"bound", dynamic.bound_kld},
      {"measured_changes", dynamic.measured},
      {"stock_level", dynamic.stock ? Json(dynamic.stock->level) : Json(nullptr)},
      {"stock_kld", dynamic.stock ? Json(dynamic.stock->predicted_kld) : Json(nullptr)}};
  document["dynamic"] = {
      {"target", dynamic.target},
      {"decision", dynamic.decision},
      {"imatrix", {{"path", dynamic.imatrix.string()}, {"reused", dynamic.imatrix_reused}}},
      {"error_table",
       {{"path", dynamic.atlas.string()},
        {"reused", dynamic.errors_reused},
        {"seconds", dynamic.error_table_seconds}}},
      {"single_changes", {{"reused", dynamic.probes_reused}, {"seconds", dynamic.probe_seconds}}},
      {"allocation_seconds", dynamic.allocation_seconds}};
}

/// An error that only a finished file has.
Json measured(const QuantizeResult& result, double error) {
  return result.dry_run ? Json(nullptr) : Json(error);
}

Json protection_json(const QuantizeResult& result) {
  if (!result.protection) return nullptr;
  const SuperWeightProtection& protection = *result.protection;
  Json tensors = Json::array();
  for (const ProtectedTensor& tensor : protection.tensors) {
    tensors.push_back({{"name", tensor.name},
                       {"protected", tensor.protected_weights},
                       {"method", tensor.raised ? "higher_type" : "search"},
                       {"type", tensor.type},
                       {"wanted_type", tensor.wanted_type},
                       {"largest_relative_error", measured(result, tensor.largest_relative_error)},
                       {"cost_bytes", tensor.cost_bytes}});
  }
  Json lora = nullptr;
  if (!protection.lora_path.empty())
    lora = {{"path", protection.lora_path.string()}, {"bytes", protection.lora_bytes}};
  return {{"protected", protection.protected_weights},
          {"spikes", protection.spikes},
          {"coverage", protection.coverage},
          {"by_search", protection.by_search},
          {"by_higher_type", protection.by_higher_type},
          {"largest_relative_error", measured(result, protection.largest_relative_error)},
          {"cost_bytes", protection.cost_bytes},
          {"lora", lora},
          {"tensors", tensors}};
}

}  // namespace

std::string json(const QuantizeResult& result, const Warnings& warnings) {
  Json tensors = Json::array();
  for (const QuantizedTensor& tensor : result.tensors) {
    tensors.push_back(
        {{"name", tensor.name},
         {"type", tensor.type},
         {"source_type", tensor.source_type},
         {"fallback_from", tensor.fallback_from.empty() ? Json(nullptr) : Json(tensor.fallback_from)},
         {"raised_from", tensor.raised_from.empty() ? Json(nullptr) : Json(tensor.raised_from)},
         {"fallback_cost", fallback_cost(tensor)},
         {"elements", tensor.elements},
         {"bytes", tensor.bytes}});
  }
  Json document = {
      {"status", result.dry_run ? "planned" : "success"},
      {"output_path", result.output_path.string()},
      {"format", result.format},
      {"quantization_level", result.level},
      {"file_size", result.file_bytes},
      {"shards", shards_json(result.shards)},
      {"compression_ratio", result.compression_ratio},
      {"duration_seconds", result.seconds},
      {"peak_memory_bytes", result.dry_run ? result.memory_plan_bytes : result.peak_memory_bytes},
      {"validation_status", result.dry_run ? "not_run" : "valid"},
      {"effective_bpw", result.effective_bpw},
      {"metadata",
       {{"original_dtype", result.original_dtype},
        {"original_size", result.original_bytes},
        {"layers_processed", result.layers}}},
      {"fallbacks", {{"tensors", result.fallbacks}, {"bytes", result.fallback_bytes}}},
      {"super_weight_protection", protection_json(result)},
      {"plan", result.dry_run ? plan_json(result) : Json(nullptr)},
      {"units", {{"total", result.units}, {"resumed", result.units_resumed}}},
      {"phase_seconds", result.phase_seconds},
      {"timeline", timeline_json(result.timelines)},
      {"tensors", tensors}};
  if (result.dynamic) add_dynamic(*result.dynamic, document);
  if (result.smoothquant) document["smoothquant"] = smoothquant_json(*result.smoothquant);
  if (result.quality) {
    const QualityMetrics& metrics = result.quality->metrics;
    document["quality_report"] = {{"perplexity_original", metrics.perplexity_original},
                                  {"perplexity_quantized", metrics.perplexity_quantized},
                                  {"perplexity_delta_pct", metrics.perplexity_delta_pct},
                                  {"kld_mean", metrics.kld.mean},
                                  {"kld_mean_error", metrics.kld.error},
                                  {"path", result.quality_path.string()}};
  }
  if (result.coherence) {
    document["coherence_score"] = result.coherence->figures.score;
    document["coherence"] = coherence_json(*result.coherence);
  }
  if (const Verdict judged = verdict(result); judged.code != ExitCode::ok) {
    document["status"] = "error";
    document["error_code"] = static_cast<int>(judged.code);
    document["error_type"] = error_type(judged.code);
    document["message"] = judged.message;
    document["suggestion"] = judged.suggestion;
  }
  document["warnings"] = warnings;
  return text(document);
}

std::string json(const AnalyzeResult& result, const Warnings& warnings) {
  const Json report_path = result.report_path.empty() ? Json(nullptr) : Json(result.report_path.string());
  return text({{"status", "success"},
               {"output_path", result.output_path.string()},
               {"model_path", result.model_path.string()},
               {"method", result.method},
               {"num_layers", result.num_layers},
               {"calibration_samples", result.calibration_samples},
               {"ctx", result.ctx},
               {"global_statistics",
                {{"min", result.statistic_min},
                 {"max", result.statistic_max},
                 {"mean", result.statistic_mean},
                 {"std", result.statistic_std}}},
               {"super_weights",
                {{"identified", result.super_weights_identified},
                 {"coverage", result.coverage},
                 {"total_protected", result.total_protected},
                 {"spikes", spikes_json(result.super_weights)}}},
               {"content_hash", result.content_hash},
               {"imatrix_format", name_of(result.format)},
               {"merged", result.merged_files},
               {"total_samples", result.total_samples},
               {"report_path", report_path},
               {"grid", {{"layer_groups", result.layer_groups}, {"sample_groups", result.sample_groups}}},
               {"duration_seconds", result.seconds},
               {"tokens_per_second", result.tokens_per_second},
               {"peak_memory_bytes", result.peak_memory_bytes},
               {"phase_seconds", result.phase_seconds},
               {"timeline", timeline_json(result.timelines)},
               {"warnings", warnings}});
}

std::string json(const Info& info, const Warnings& warnings) {
  Json document;
  if (info.model) {
    const ModelInfo& model = *info.model;
    document = {{"status", "success"},
                {"kind", model.file_type.empty() ? "model" : "gguf"},
                {"model_name", model.model_name},
                {"architecture", model.architecture},
                {"parameter_count", model.parameter_count},
                {"hidden_size", model.hidden_size},
                {"num_layers", model.num_layers},
                {"num_heads", model.num_heads},
                {"num_kv_heads", model.num_kv_heads},
                {"vocab_size", model.vocab_size},
                {"context_length", model.context_length},
                {"torch_dtype", model.torch_dtype},
                {"size_bytes", model.bytes}};
    if (model.num_experts > 0) {
      document["num_experts"] = model.num_experts;
      document["num_experts_used"] = model.num_experts_used;
      document["shared_expert"] = model.shared_expert;
      document["active_parameter_count"] = model.active_parameter_count;
    }
    if (!model.file_type.empty()) {
      document["file_type"] = model.file_type;
      document["files"] = model.files;
      document["bits_per_weight"] = model.bits_per_weight;
      document["tensors_by_type"] = model.tensors_by_type;
      for (const auto& [key, value] : model.provenance) document["provenance"][key] = value;
    }
  } else {
    const ImatrixInfo& imatrix = *info.imatrix;
    document = {{"status", "success"},
                {"kind", "imatrix"},
                {"method", imatrix.method},
                {"dataset", imatrix.dataset},
                {"samples", imatrix.samples},
                {"ctx", imatrix.ctx},
                {"entries", imatrix.entries},
                {"content_hash", imatrix.content_hash},
                {"model_hash", imatrix.model_hash},
                {"importance",
                 {{"min", imatrix.importance_min},
                  {"max", imatrix.importance_max},
                  {"mean", imatrix.importance_mean}}},
                {"uncovered_experts", imatrix.uncovered_experts},
                {"without_tokens", imatrix.gaps.without_tokens},
                {"dead_columns",
                 {{"total", imatrix.gaps.count_dead_columns()}, {"tensors", imatrix.gaps.dead_columns}}},
                {"super_weights",
                 {{"identified", imatrix.super_weights_searched}, {"total", imatrix.super_weights}}}};
  }
  document["warnings"] = warnings;
  return text(document);
}

std::string json(const KernelTargets& targets, const Warnings& warnings) {
  return text({{"status", "success"},
               {"kind", "kernels"},
               {"active", targets.active},
               {"usable", targets.usable},
               {"warnings", warnings}});
}

std::string json_error(ExitCode code, const std::string& message, const std::string& suggestion) {
  return text({{"status", "error"},
               {"error_code", static_cast<int>(code)},
               {"error_type", error_type(code)},
               {"message", message},
               {"suggestion", suggestion}});
}

}  // namespace llmq::cli
