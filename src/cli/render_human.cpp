// Results as plain tables of at most 100 columns.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "llmq/core/text.hpp"
#include "llmq/importance/method.hpp"
#include "llmq/quant/protected.hpp"

#include "cli/render.hpp"
#include "cli/render_coherence.hpp"
#include "cli/render_smoothquant.hpp"

namespace llmq::cli {
namespace {

std::string row(std::string_view name, const std::string& value) {
  return fmt::format("  {:<22} {}\n", name, value);
}

/// Legacy importance matrices and merged ones of several contexts do not know ctx.
std::string sample_text(std::uint64_t samples, std::uint64_t ctx) {
  return ctx == 0 ? fmt::format("{} of unknown length", samples)
                  : fmt::format("{} of {} tokens", samples, ctx);
}

std::string note_of(const QuantizedTensor& tensor) {
  if (!tensor.raised_from.empty()) return "protected, raised from " + tensor.raised_from;
  return tensor.fallback_from.empty() ? "" : "fallback from " + tensor.fallback_from;
}

std::string plan_table(const QuantizeResult& result) {
  std::size_t width = 34;
  for (const QuantizedTensor& tensor : result.tensors) width = std::max(width, tensor.name.size());
  const auto line = [&](std::string_view name, std::string_view from, std::string_view to,
                        const std::string& weights, const std::string& bytes, const std::string& note) {
    std::string text =
        fmt::format("{:<{}} {:>8} {:>8} {:>14} {:>12}  {}", name, width, from, to, weights, bytes, note);
    return text.substr(0, text.find_last_not_of(' ') + 1) + "\n";
  };
  std::string text = line("tensor", "from", "to", "weights", "bytes", "note");
  for (const QuantizedTensor& tensor : result.tensors) {
    text += line(tensor.name, tensor.source_type, tensor.type, format_count(tensor.elements),
                 format_count(tensor.bytes), note_of(tensor));
  }
  return text + "\n";
}

std::string fallback_table(const QuantizeResult& result) {
  if (result.fallbacks == 0) return "";
  std::string text = fmt::format("{:<34} {:>8} {:>8} {:>14} {:>12}\n", "fallback: rows do not fit", "wanted",
                                 "type", "more bytes", "more bits");
  for (const QuantizedTensor& tensor : result.tensors) {
    if (tensor.fallback_from.empty()) continue;
    text += fmt::format("{:<34} {:>8} {:>8} {:>14} {:>12.3f}\n", tensor.name, tensor.fallback_from,
                        tensor.type, format_count(tensor.fallback_bytes), tensor.fallback_bpw);
  }
  return text + "\n";
}

/// Exact, or to three digits.
std::string error_text(double error) {
  return error == 0 ? "0 (exact)"
                    : fmt::format("{:.3g} (half precision allows {:.3g})", error, kProtectedError);
}

std::string protection_table(const SuperWeightProtection& protection) {
  if (protection.by_higher_type == 0) return "";
  std::string text = fmt::format("{:<34} {:>8} {:>8} {:>14} {:>12}\n", "higher type: holds protected weights",
                                 "wanted", "type", "protected", "more bytes");
  for (const ProtectedTensor& tensor : protection.tensors) {
    if (!tensor.raised) continue;
    text += fmt::format("{:<36} {:>6} {:>8} {:>14} {:>12}\n", tensor.name, tensor.wanted_type, tensor.type,
                        format_count(tensor.protected_weights), format_count(tensor.cost_bytes));
  }
  return text + "\n";
}

std::string protection_rows(const QuantizeResult& result) {
  if (!result.protection) return "";
  const SuperWeightProtection& protection = *result.protection;
  std::string text = row(
      "protected", fmt::format("{} weights, {} of them super weights",
                               format_count(protection.protected_weights), format_count(protection.spikes)));
  text += row("held by",
              fmt::format("block search {}, higher type {} (+{} bytes)", format_count(protection.by_search),
                          format_count(protection.by_higher_type), format_count(protection.cost_bytes)));
  if (!result.dry_run) text += row("largest error", error_text(protection.largest_relative_error));
  if (!protection.lora_path.empty()) {
    text += row("LoRA adapter",
                fmt::format("{} ({})", protection.lora_path.string(), format_size(protection.lora_bytes)));
  }
  return text;
}

std::string super_weight_rows(const AnalyzeResult& result) {
  std::string text =
      row("protected", fmt::format("{} weights ({:g} % by w^2 x importance)",
                                   format_count(result.total_protected), 100 * result.coverage));
  text +=
      row("super weights", result.super_weights.empty() ? "none" : format_count(result.super_weights.size()));
  for (const SuperWeight& weight : result.super_weights) {
    text += fmt::format("    {} [{}, {}] = {:.4g}: without it KL divergence {:.4g}, loss {:+.4g}\n",
                        weight.tensor, weight.row, weight.column, weight.value, weight.kl_divergence,
                        weight.loss_change);
  }
  return text;
}

std::string dynamic_rows(const DynamicResult& dynamic) {
  std::string text = row("profile", fmt::format("{} (target: {})", dynamic.profile, dynamic.target));
  if (dynamic.measured) {
    text += row("predicted KL", fmt::format("{:.4g} (nothing within the limits is predicted below {:.4g})",
                                            dynamic.predicted_kld, dynamic.bound_kld));
    if (dynamic.stock)
      text += row("best level that fits",
                  fmt::format("{}: {:.4g}", dynamic.stock->level, dynamic.stock->predicted_kld));
  }
  for (std::size_t i = 0; i < dynamic.decision.size(); ++i)
    text += row(i == 0 ? "tried" : "", dynamic.decision[i]);
  text += row("importance matrix", dynamic.imatrix.string());
  text += row("error table",
              fmt::format("{}{}", dynamic.atlas.string(),
                          dynamic.errors_reused && dynamic.probes_reused ? " (of an earlier run)" : ""));
  return text;
}

/// One line a file, of many the first few.
std::string shard_rows(const std::vector<OutputShard>& shards) {
  constexpr std::size_t kMostRows = 8;
  std::string text;
  for (std::size_t i = 0; i < shards.size(); ++i) {
    if (i == kMostRows && shards.size() > kMostRows + 1)
      return text + row("", fmt::format("and {} more", shards.size() - i));
    text += row(i == 0 ? "files" : "",
                fmt::format("{} ({} bytes, {} tensors)", shards[i].path.filename().string(),
                            format_count(shards[i].bytes), shards[i].tensors));
  }
  return text;
}

std::string smoothquant_rows(const SmoothQuantResult& smooth) {
  std::string text = row("alpha", smooth.alpha ? fmt::format("{:g}", *smooth.alpha) : "auto: by trial");
  text += row("activation scales", smooth.activations == ActivationScales::dynamic ? "dynamic, one a token"
                                                                                   : "static, one a weight");
  if (!smooth.imatrix.empty()) text += row("ranges", smooth.imatrix.string());
  for (std::size_t i = 0; i < smooth.kept.size(); ++i)
    text += row(i == 0 ? "left as they are" : "", smooth.kept[i]);
  return text;
}

}  // namespace

std::string human(const QuantizeResult& result) {
  std::string text = result.dry_run ? plan_table(result) + fallback_table(result) : "";
  if (result.protection) text += protection_table(*result.protection);
  if (result.smoothquant) text += smoothquant_table(*result.smoothquant);
  text += result.dry_run ? "Plan (nothing written)\n" : result.converted ? "Converted\n" : "Quantized\n";
  text += row("output", result.output_path.string());
  text += shard_rows(result.shards);
  text += row("level", result.level);
  text += row("size",
              fmt::format("{} ({} bytes)", format_size(result.file_bytes), format_count(result.file_bytes)));
  text += row("of the original", fmt::format("{:.1f} % ({} of {})", 100 * result.compression_ratio,
                                             format_size(result.original_bytes), result.original_dtype));
  text += row("bits per weight", fmt::format("{:.3f}", result.effective_bpw));
  if (result.dynamic) text += dynamic_rows(*result.dynamic);
  if (result.smoothquant) text += smoothquant_rows(*result.smoothquant);
  text += protection_rows(result);
  if (result.dry_run) {
    text += row("head and padding", fmt::format("{} + {} bytes", format_count(result.head_bytes),
                                                format_count(result.padding_bytes)));
    text += row("memory a rank", format_size(result.memory_plan_bytes));
    if (!result.smoothquant) {
      text += row("fallbacks", fmt::format("{} tensors, {} bytes more than asked for", result.fallbacks,
                                           format_count(result.fallback_bytes)));
      text += row("time", fmt::format("about {:.2g} s (encoding, by a sample of each type)",
                                      result.estimated_seconds));
    }
    text += row("work units", format_count(result.units));
    return text;
  }
  if (result.quality) {
    const QualityMetrics& metrics = result.quality->metrics;
    text += row("perplexity", fmt::format("{:.3f} -> {:.3f} ({:+.1f} %)", metrics.perplexity_original,
                                          metrics.perplexity_quantized, metrics.perplexity_delta_pct));
    text += row("KL divergence", fmt::format("{:.6f} +/- {:.6f}", metrics.kld.mean, metrics.kld.error));
    text += row("quality report", result.quality_path.string());
  }
  if (result.coherence) text += row("coherence", coherence_text(*result.coherence));
  text += row("time", fmt::format("{:.2f} s", result.seconds));
  text += row("peak memory a rank", format_size(result.peak_memory_bytes));
  if (result.units_resumed > 0) {
    text += row("resumed", fmt::format("{} of {} units", result.units_resumed, result.units));
  }
  if (result.coherence) text += coherence_examples(*result.coherence);
  return text;
}

std::string human(const AnalyzeResult& result) {
  std::string text = "Importance matrix\n";
  text += row("output", result.output_path.string());
  text += row("method", result.method);
  text += row("layers", format_count(result.num_layers));
  text +=
      row("samples", result.calibration_samples == 0 ? "none computed"
                                                     : sample_text(result.calibration_samples, result.ctx));
  if (result.merged_files > 0) {
    text += row("merged", fmt::format("{} files; {} samples in all", result.merged_files,
                                      format_count(result.total_samples)));
  }
  text += row("file format", std::string(name_of(result.format)));
  text += row(statistic_of(result.method),
              fmt::format("min {:.4g}, max {:.4g}, mean {:.4g}, std {:.4g}", result.statistic_min,
                          result.statistic_max, result.statistic_mean, result.statistic_std));
  text += row("content", "sha256:" + result.content_hash.substr(0, 16));
  if (!result.report_path.empty()) text += row("report", result.report_path.string());
  if (result.super_weights_identified) text += super_weight_rows(result);
  if (result.calibration_samples == 0) return text;
  text += row("ranks",
              fmt::format("{} layer groups x {} sample groups", result.layer_groups, result.sample_groups));
  text += row("time", fmt::format("{:.2f} s ({:.0f} tokens/s)", result.seconds, result.tokens_per_second));
  text += row("peak memory a rank", format_size(result.peak_memory_bytes));
  return text;
}

std::string human(const Info& info) {
  std::string text;
  if (info.model) {
    const ModelInfo& model = *info.model;
    text = model.file_type.empty() ? "Model\n" : "GGUF model\n";
    text += row("name", model.model_name);
    text += row("architecture", model.architecture);
    text += row("parameters", format_count(model.parameter_count));
    if (model.num_experts > 0) {
      text += row("of a token", format_count(model.active_parameter_count));
      text += row("experts", fmt::format("{} a layer, {} a token{}", model.num_experts,
                                         model.num_experts_used, model.shared_expert ? ", one shared" : ""));
    }
    text += row("hidden size", format_count(model.hidden_size));
    text += row("layers", format_count(model.num_layers));
    text += row("heads", fmt::format("{} ({} for keys and values)", model.num_heads, model.num_kv_heads));
    text += row("vocabulary", format_count(model.vocab_size));
    text += row("context", format_count(model.context_length));
    text += row("dtype", model.torch_dtype);
    text += row("size", format_size(model.bytes));
    if (model.file_type.empty()) return text;
    if (model.files > 1) text += row("files", format_count(model.files));
    text += row("file type", model.file_type);
    text += row("bits per weight", fmt::format("{:.3f}", model.bits_per_weight));
    for (const auto& [type, count] : model.tensors_by_type)
      text += row("tensors " + type, format_count(count));
    for (const auto& [key, value] : model.provenance) text += fmt::format("  {}: {}\n", key, value);
    return text;
  }
  const ImatrixInfo& imatrix = *info.imatrix;
  text = "Importance matrix\n";
  text += row("method", imatrix.method);
  text += row("data", imatrix.dataset);
  text += row("samples", sample_text(imatrix.samples, imatrix.ctx));
  text += row("entries", format_count(imatrix.entries));
  text += row("importance", fmt::format("min {:.4g}, max {:.4g}, mean {:.4g}", imatrix.importance_min,
                                        imatrix.importance_max, imatrix.importance_mean));
  text += row("dead columns",
              imatrix.gaps.dead_columns.empty()
                  ? "none"
                  : fmt::format("{} in {} tensors", format_count(imatrix.gaps.count_dead_columns()),
                                format_count(imatrix.gaps.dead_columns.size())));
  text += row("without tokens",
              imatrix.gaps.without_tokens.empty() ? "none" : join_some(imatrix.gaps.without_tokens));
  text += row("super weights",
              imatrix.super_weights_searched ? format_count(imatrix.super_weights) : "not searched for");
  text += row("content", "sha256:" + imatrix.content_hash);
  if (!imatrix.model_hash.empty()) text += row("model", imatrix.model_hash);
  return text;
}

std::string human(const KernelTargets& targets) {
  std::string text = "Instruction sets, best first; all give the same bytes\n";
  for (const std::string& name : targets.usable) {
    text += fmt::format("  {}{}\n", name, name == targets.active ? "  (in use)" : "");
  }
  return text;
}

}  // namespace llmq::cli
