#include "cli/render_quality.hpp"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "llmq/core/text.hpp"

#include "cli/json_document.hpp"
#include "cli/render.hpp"

namespace llmq::cli {
namespace {

constexpr std::size_t kMostNameColumns = 19;  // of a table of 100 columns
constexpr std::size_t kShownTensors = 10;

std::string or_dash(const std::optional<double>& value) {
  return value ? fmt::format("{:.3e}", *value) : std::string("-");
}

/// What the passes took; of a candidate how much of the original's, where that was run.
std::string pass_words(const PassSeconds& passes, std::size_t candidates) {
  const double each = passes.candidates / static_cast<double>(candidates);
  if (passes.from_base) {
    return fmt::format("original read from its base, its output matrix {:.1f} s of CPU, {} {:.1f} s",
                       passes.original, candidates == 1 ? "candidate" : "each candidate", each);
  }
  return fmt::format("original {:.1f} s of CPU, {} {:.1f} s ({:.2f} of it)", passes.original,
                     candidates == 1 ? "candidate" : "each candidate", each,
                     passes.original > 0 ? each / passes.original : 0);
}

std::string layer_table(const std::vector<LayerError>& layers) {
  std::string text = fmt::format("\n{:<36} {:>7} {:>11} {:>11} {:>9} {:>11}\n", "layer", "bits", "mse",
                                 "max error", "cosine", "weighted");
  for (const LayerError& layer : layers) {
    text +=
        fmt::format("{:<36} {:>7.3f} {:>11.3e} {:>11.3e} {:>9.6f} {:>11}\n", layer.layer_name,
                    layer.bit_width, layer.mse, layer.max_error, layer.cosine, or_dash(layer.weighted_error));
  }
  return text;
}

/// Those that lose the largest part of their product.
std::string worst_tensors(std::vector<TensorError> tensors) {
  std::erase_if(tensors, [](const TensorError& tensor) { return !tensor.weighted_error; });
  std::stable_sort(tensors.begin(), tensors.end(), [](const TensorError& a, const TensorError& b) {
    return *a.weighted_error > *b.weighted_error;
  });
  tensors.resize(std::min(tensors.size(), kShownTensors));
  if (tensors.empty()) return "";
  std::string text = fmt::format("\n{:<36} {:>7} {:>11} {:>11} {:>9} {:>11}\n",
                                 fmt::format("worst {} tensors", tensors.size()), "type", "mse", "max error",
                                 "cosine", "weighted");
  for (const TensorError& tensor : tensors) {
    text += fmt::format("{:<36} {:>7} {:>11.3e} {:>11.3e} {:>9.6f} {:>11}\n", tensor.name, tensor.type,
                        tensor.mse, tensor.max_error, tensor.cosine, or_dash(tensor.weighted_error));
  }
  return text + "weighted: the part of the product's energy that is lost on the evaluation text\n";
}

/// What names of candidates have in common in front ("model-") and behind (".gguf") is left out of a table.
struct ShortNames {
  std::string front, behind;
  std::vector<std::string> names;
};

ShortNames shorten(const std::vector<QualityResult>& candidates) {
  ShortNames result;
  for (const QualityResult& one : candidates) result.names.push_back(one.quantized.filename().string());
  const std::string first = result.names.front();
  const auto all_have = [&](auto&& has) {
    return std::all_of(result.names.begin(), result.names.end(), has);
  };
  for (std::size_t dash = first.find('-'); result.names.size() > 1 && dash != std::string::npos;
       dash = first.find('-', dash + 1)) {
    const std::string front = first.substr(0, dash + 1);
    if (!all_have([&](const std::string& name) { return name.starts_with(front); })) break;
    result.front = front;
  }
  const std::string extension = ".gguf";
  if (result.names.size() > 1 && all_have([&](const std::string& name) { return name.ends_with(extension); }))
    result.behind = extension;
  for (std::string& name : result.names) {
    name = name.substr(result.front.size(), name.size() - result.front.size() - result.behind.size());
    // The end tells files of one model apart; a cut inside a character would break it.
    if (name.size() <= kMostNameColumns) continue;
    std::size_t from = name.size() - (kMostNameColumns - 1);
    while (from < name.size() && continues_character(name[from])) ++from;
    name = "…" + name.substr(from);
  }
  return result;
}

std::string compare_heading(const CompareResult& result) {
  std::string text =
      fmt::format("{} candidates for {}\n", result.candidates.size(), result.original.string());
  if (!result.metrics.need_pass()) return text;
  const QualityMetrics& m = result.candidates.front().metrics;
  text += fmt::format("{}: {} chunks of {} tokens, {} scores", result.dataset, result.chunks, result.ctx,
                      format_count(m.scores));
  if (result.metrics.perplexity)
    text += fmt::format(", perplexity {:.4f} +/- {:.4f}", m.perplexity_original, m.perplexity_original_error);
  return text + "\npasses: " + pass_words(result.passes, result.candidates.size()) + "\n";
}

}  // namespace

std::string human(const QualityResult& result) {
  const QualityMetrics& m = result.metrics;
  const auto row = [](std::string_view name, const std::string& value) {
    return fmt::format("  {:<24}{}\n", name, value);
  };
  std::string text = fmt::format("Quality of {}\n", result.quantized.filename().string());
  text += row("text", fmt::format("{}: {} chunks of {} tokens, {} scores", result.dataset, result.chunks,
                                  result.ctx, format_count(m.scores)));
  text += row("size", fmt::format("{}, {:.3f} bits per weight, {:.1f} % of the original",
                                  format_size(result.file_bytes), result.effective_bpw,
                                  100 * result.compression_ratio));
  text += row("perplexity original",
              fmt::format("{:.4f} +/- {:.4f}", m.perplexity_original, m.perplexity_original_error));
  text += row("perplexity quantized", fmt::format("{:.4f} +/- {:.4f} ({:+.2f} %)", m.perplexity_quantized,
                                                  m.perplexity_quantized_error, m.perplexity_delta_pct));
  text += row("ln perplexity ratio", fmt::format("{:.6f} +/- {:.6f}, correlation {:.2f} %", m.ln_ratio,
                                                 m.ln_ratio_error, m.correlation_pct));
  text += row("KL divergence mean", fmt::format("{:.6f} +/- {:.6f}", m.kld.mean, m.kld.error));
  text += row("  median, 99 %, 99.9 %", fmt::format("{:.6f}  {:.6f}  {:.6f}   max {:.6f}", m.kld_median,
                                                    m.kld_p99, m.kld_p999, m.kld_max));
  text += row("same top token", fmt::format("{:.2f} +/- {:.2f} %", m.same_top_pct, m.same_top_error_pct));
  text +=
      row("delta p", fmt::format("mean {:+.3f} +/- {:.3f} %, rms {:.3f} +/- {:.3f} %, worst 1 % {:+.2f} %",
                                 m.delta_p_pct.mean, m.delta_p_pct.error, m.delta_p_rms_pct,
                                 m.delta_p_rms_error_pct, m.delta_p_p1_pct));
  if (result.coherence_score) text += row("coherence", fmt::format("{:.3f}", *result.coherence_score));
  text += row("passes", pass_words(result.passes, 1));
  if (!result.layer_errors.empty()) text += layer_table(result.layer_errors);
  return text + worst_tensors(result.tensor_errors);
}

std::string json(const QualityResult& result, const std::vector<std::string>& warnings) {
  return text(quality_json(result, warnings));
}

std::string human(const CompareResult& result) {
  const MetricSet& show = result.metrics;
  const ShortNames names = shorten(result.candidates);
  const std::string heading =
      names.front.empty() && names.behind.empty() ? "candidate" : names.front + "*" + names.behind;
  std::string text = compare_heading(result);
  if (heading != "candidate") text += fmt::format("candidates: {}\n", heading);
  std::size_t width = std::string_view("candidate").size();
  for (const std::string& name : names.names)
    width = std::max(width, std::min(name.size(), kMostNameColumns));
  text += fmt::format("{:<{}}", "candidate", width);
  if (show.size) text += fmt::format(" {:>9} {:>7}", "size", "of orig");
  if (show.bpw) text += fmt::format(" {:>6}", "bpw");
  if (show.perplexity) text += fmt::format(" {:>10} {:>8}", "perplexity", "delta");
  if (show.kld) text += fmt::format(" {:>9} {:>8} {:>8} {:>8}", "KLD mean", "+/-", "99 %", "same top");
  text += "\n";
  for (std::size_t i = 0; i < result.candidates.size(); ++i) {
    const QualityResult& one = result.candidates[i];
    const QualityMetrics& m = one.metrics;
    text += fmt::format("{:<{}}", names.names[i], width);
    if (show.size)
      text += fmt::format(" {:>9} {:>5.1f} %", format_size(one.file_bytes), 100 * one.compression_ratio);
    if (show.bpw) text += fmt::format(" {:>6.3f}", one.effective_bpw);
    if (show.perplexity)
      text += fmt::format(" {:>10.4f} {:>+6.1f} %", m.perplexity_quantized, m.perplexity_delta_pct);
    if (show.kld)
      text += fmt::format(" {:>9.6f} {:>8.6f} {:>8.5f} {:>6.2f} %", m.kld.mean, m.kld.error, m.kld_p99,
                          m.same_top_pct);
    text += "\n";
  }
  return text;
}

std::string json(const CompareResult& result, const std::vector<std::string>& warnings) {
  return text(compare_json(result, warnings));
}

}  // namespace llmq::cli
