#include "cli/render_quality.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "llmq/core/text.hpp"

namespace llmq::cli {
namespace {

void add_perplexity(Json& json, const QualityMetrics& m) {
  json["perplexity_original"] = m.perplexity_original;
  json["perplexity_original_error"] = m.perplexity_original_error;
  json["perplexity_quantized"] = m.perplexity_quantized;
  json["perplexity_quantized_error"] = m.perplexity_quantized_error;
  json["perplexity_delta_pct"] = m.perplexity_delta_pct;
  json["ln_perplexity_ratio"] = m.ln_ratio;
  json["ln_perplexity_ratio_error"] = m.ln_ratio_error;
}

void add_kld(Json& json, const QualityMetrics& m) {
  json["kld_mean"] = m.kld.mean;
  json["kld_mean_error"] = m.kld.error;
  json["kld_median"] = m.kld_median;
  json["kld_p99"] = m.kld_p99;
  json["kld_p999"] = m.kld_p999;
  json["kld_max"] = m.kld_max;
  json["same_top_pct"] = m.same_top_pct;
  json["same_top_error_pct"] = m.same_top_error_pct;
  json["delta_p_rms_pct"] = m.delta_p_rms_pct;
}

/// A field of a CSV row: quoted where it must be.
std::string csv_field(const Json& value) {
  const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

/// One candidate as flat name-value pairs: the columns of the CSV.
Json flat_row(const QualityResult& candidate, const MetricSet& metrics) {
  Json row = {{"quantized_model", candidate.quantized.string()}, {"file_size", candidate.file_bytes}};
  row.update(quality_metrics(candidate, metrics));
  return row;
}

}  // namespace

Json quality_metrics(const QualityResult& result, const MetricSet& metrics) {
  Json json = Json::object();
  if (metrics.perplexity) add_perplexity(json, result.metrics);
  if (metrics.bpw) json["effective_bpw"] = result.effective_bpw;
  if (metrics.size) json["compression_ratio"] = result.compression_ratio;
  if (metrics.kld) add_kld(json, result.metrics);
  if (metrics.need_pass()) {
    json["chunks"] = result.chunks;
    json["scores"] = result.metrics.scores;
  }
  return json;
}

std::string human(const CompareResult& result) {
  const MetricSet& show = result.metrics;
  std::size_t width = 9;
  for (const QualityResult& one : result.candidates)
    width = std::max(width, one.quantized.filename().string().size());
  std::string text =
      fmt::format("{} candidates for {}\n", result.candidates.size(), result.original.string());
  if (show.need_pass()) {
    text += fmt::format("{}: {} chunks of {} tokens, {} scores", result.dataset, result.chunks, result.ctx,
                        format_count(result.candidates.front().metrics.scores));
    if (show.perplexity) {
      const QualityMetrics& m = result.candidates.front().metrics;
      text +=
          fmt::format(", perplexity {:.4f} +/- {:.4f}", m.perplexity_original, m.perplexity_original_error);
    }
    text += "\n";
  }
  text += fmt::format("{:<{}}", "candidate", width);
  if (show.size) text += fmt::format(" {:>9} {:>8}", "size", "of orig.");
  if (show.bpw) text += fmt::format(" {:>7}", "bpw");
  if (show.perplexity) text += fmt::format(" {:>11} {:>9}", "perplexity", "delta");
  if (show.kld) text += fmt::format(" {:>10} {:>10} {:>10} {:>8}", "KLD mean", "+/-", "KLD 99 %", "same top");
  text += "\n";
  for (const QualityResult& one : result.candidates) {
    const QualityMetrics& m = one.metrics;
    text += fmt::format("{:<{}}", one.quantized.filename().string(), width);
    if (show.size)
      text += fmt::format(" {:>9} {:>6.1f} %", format_size(one.file_bytes), 100 * one.compression_ratio);
    if (show.bpw) text += fmt::format(" {:>7.3f}", one.effective_bpw);
    if (show.perplexity)
      text += fmt::format(" {:>11.4f} {:>+7.2f} %", m.perplexity_quantized, m.perplexity_delta_pct);
    if (show.kld)
      text += fmt::format(" {:>10.6f} {:>10.6f} {:>10.6f} {:>6.2f} %", m.kld.mean, m.kld.error, m.kld_p99,
                          m.same_top_pct);
    text += "\n";
  }
  return text;
}

std::string json(const CompareResult& result, const std::vector<std::string>& warnings) {
  Json candidates = Json::array();
  for (const QualityResult& one : result.candidates) candidates.push_back(flat_row(one, result.metrics));
  Json document = {{"status", "success"},      {"original_model", result.original.string()},
                   {"candidates", candidates}, {"warnings", warnings},
                   {"timestamp", utc_now()},   {"duration_seconds", result.seconds}};
  if (result.metrics.need_pass()) {
    document["ctx"] = result.ctx;
    document["dataset"] = result.dataset;
  }
  return text(document);
}

std::string csv(const CompareResult& result) {
  std::string text;
  for (std::size_t i = 0; i < result.candidates.size(); ++i) {
    const Json row = flat_row(result.candidates[i], result.metrics);
    std::string line;
    if (i == 0) {
      for (const auto& [name, value] : row.items()) line += (line.empty() ? "" : ",") + name;
      text += line + "\n";
      line.clear();
    }
    for (const auto& [name, value] : row.items()) line += (line.empty() ? "" : ",") + csv_field(value);
    text += line + "\n";
  }
  return text;
}

}  // namespace llmq::cli
