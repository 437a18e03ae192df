// The page of one file, a section a function. SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "llmq/core/text.hpp"
#include "llmq/report/quality_report.hpp"

#include "report/file_names.hpp"
#include "report/html.hpp"
#include "report/quality_charts.hpp"
#include "report/quality_sections.hpp"

namespace llmq {
namespace {

constexpr std::size_t kTopTensors = 20;
constexpr std::size_t kListedTensors = 1200;  // beyond, the report as .json has them
constexpr std::size_t kMostMapCells = 3600;

std::string facts(const QualityResult& result) {
  return html::header(
      "Quality of " + shown_name(result.quantized),
      {{"Original", shown_name(result.original)},
       {"File", fmt::format("{}, {:.1f} % of the original", format_size(result.file_bytes),
                            100 * result.compression_ratio)},
       {"Bits a weight", fmt::format("{:.3f}", result.effective_bpw)},
       {"Text", result.dataset},
       {"Scored", fmt::format("{} positions in {} chunks of {} tokens", format_count(result.metrics.scores),
                              format_count(result.chunks), format_count(result.ctx))},
       {"Original's hash", html::short_hash(result.identity.original_hash)},
       {"File's hash", html::short_hash(result.identity.quantized_hash)},
       {"Text's hash", html::short_hash(result.identity.dataset_hash)},
       {"Computed", result.timestamp}});
}

std::string figures_section(const QualityResult& result) {
  const QualityMetrics& m = result.metrics;
  html::Table table{"figures", {{"figure", false}, {"value", false}, {"what it says", false}}, {}};
  const auto row = [&](const char* name, std::string value, const char* meaning) {
    table.rows.push_back({name, std::move(value), meaning});
  };
  row("Perplexity, original", with_error(m.perplexity_original, m.perplexity_original_error),
      "As if it had so many equally likely next tokens to choose from.");
  row("Perplexity, this file",
      fmt::format("{} ({:+.2f} %)", with_error(m.perplexity_quantized, m.perplexity_quantized_error),
                  m.perplexity_delta_pct),
      "The errors are of the text, common to both; the next line is without them.");
  row("ln of their ratio", with_error(m.ln_ratio, m.ln_ratio_error), "The paired difference.");
  row("Correlation", fmt::format("{:.2f} %", m.correlation_pct), "Of both models' surprise, token by token.");
  row("KL divergence, mean", with_error(m.kld.mean, m.kld.error),
      "How much the predictions changed, in nats. What files of one size are best compared by.");
  row("KL divergence, median", html::number(m.kld_median), "Half of all positions change less.");
  row("KL divergence, 99 % and 99.9 %", html::number(m.kld_p99) + " and " + html::number(m.kld_p999),
      "Rare large changes: where answers go astray.");
  row("KL divergence, largest", html::number(m.kld_max), "The worst position of the text.");
  row("Same top token", fmt::format("{:.2f} ± {:.2f} %", m.same_top_pct, m.same_top_error_pct),
      "Greedy decoding would have gone on with the same token.");
  row("True token's probability, mean change",
      fmt::format("{:+.3f} ± {:.3f} %", m.delta_p_pct.mean, m.delta_p_pct.error),
      "Below 0: the file knows less.");
  row("The same, rms", fmt::format("{:.3f} ± {:.3f} %", m.delta_p_rms_pct, m.delta_p_rms_error_pct),
      "Counts changes either way.");
  row("Its worst hundredth", fmt::format("{:+.2f} %", m.delta_p_p1_pct),
      "One position in a hundred loses that much.");
  if (result.coherence_score)
    row("Coherence", html::number(*result.coherence_score),
        "1: the original would write what this file writes; docs/coherence.md.");
  // Beside it stands the drawing along positions, where there is one.
  return html::section("figures-section", "Figures", "<div class=\"wrap\">" + html::draw(table) + "</div>\n",
                       result.positions.empty());
}

std::string positions_section(const QualityResult& result) {
  const std::string drawing = draw_positions({{shown_name(result.quantized), result.positions}});
  if (drawing.empty()) return "";
  return html::section(
      "positions-section", "KL divergence along the chunk",
      html::paragraph("Mean over all chunks, with its standard error. A line that rises: errors "
                      "pile up with the length of the context.") +
          drawing);
}

double badness(const TensorError& tensor) { return tensor.weighted_error.value_or(tensor.mse); }

html::Table tensor_table(std::string id, const std::vector<TensorError>& tensors) {
  html::Table table{std::move(id),
                    {{"tensor", false},
                     {"type", false},
                     {"bits"},
                     {"weighted error"},
                     {"mse"},
                     {"largest error"},
                     {"cosine"}},
                    {}};
  for (const TensorError& tensor : tensors) {
    table.rows.push_back({tensor.name, tensor.type, html::number(tensor.bit_width),
                          tensor.weighted_error ? html::number(*tensor.weighted_error) : "–",
                          html::number(tensor.mse), html::number(tensor.max_error),
                          fmt::format("{:.6f}", tensor.cosine)});
  }
  return table;
}

std::string maps_section(const QualityResult& result) {
  if (result.tensor_errors.empty()) return "";
  if (map_cells(result.tensor_errors) > kMostMapCells)
    return html::section(
        "maps", "Bits and errors by layer and role",
        html::paragraph("Too many tensors for maps; the tables below and a report as .json have them."));
  return html::section(
      "maps", "Bits and errors by layer and role",
      html::paragraph(
          "Weighted error: the part of the product's energy that is lost on this text, were columns of the "
          "input independent.") +
          draw_error_maps(result.tensor_errors, "map"),
      true);
}

std::string worst_section(const QualityResult& result) {
  std::vector<TensorError> tensors = result.tensor_errors;
  std::erase_if(tensors, [](const TensorError& tensor) { return !tensor.weighted_error; });
  if (tensors.empty()) {
    tensors = result.tensor_errors;
    if (tensors.empty()) return "";
  }
  std::stable_sort(tensors.begin(), tensors.end(),
                   [](const TensorError& a, const TensorError& b) { return badness(a) > badness(b); });
  tensors.resize(std::min(tensors.size(), kTopTensors));
  return html::section("worst", fmt::format("The {} worst tensors", tensors.size()),
                       html::draw(tensor_table("worst-tensors", tensors)), true);
}

std::string layers_section(const QualityResult& result) {
  if (result.layer_errors.empty()) return "";
  html::Table table{
      "layers", {{"part", false}, {"bits"}, {"weighted error"}, {"mse"}, {"largest error"}, {"cosine"}}, {}};
  for (const LayerError& layer : result.layer_errors) {
    table.rows.push_back({layer.layer_name, html::number(layer.bit_width),
                          layer.weighted_error ? html::number(*layer.weighted_error) : "–",
                          html::number(layer.mse), html::number(layer.max_error),
                          fmt::format("{:.6f}", layer.cosine)});
  }
  std::vector<TensorError> tensors = result.tensor_errors;
  std::string note;
  if (tensors.size() > kListedTensors) {
    note = html::paragraph(fmt::format("The first {} of {}; a report written as .json has all.",
                                       format_count(kListedTensors), format_count(tensors.size())));
    tensors.resize(kListedTensors);
  }
  return html::section("all", "All layers and tensors",
                       "<details><summary>Layers</summary>\n" + html::draw(table) +
                           "</details>\n<details><summary>Tensors</summary>\n" + note +
                           html::draw(tensor_table("all-tensors", tensors)) + "</details>\n",
                       true);
}

std::string sentences_section(const QualityResult& result) {
  if (result.sentences.empty()) return "";
  return html::section(
      "sentences", "Where it departs most",
      html::paragraph("Sentences of the text with the largest mean KL divergence. The stronger a "
                      "word's colour, the more the prediction of it changed; point at it for figures.") +
          draw_sentences(result.sentences),
      true);
}

}  // namespace

std::string quality_html(const QualityResult& result) {
  return html::page("Quality of " + shown_name(result.quantized), facts(result),
                    figures_section(result) + positions_section(result) + maps_section(result) +
                        sentences_section(result) + worst_section(result) + layers_section(result));
}

}  // namespace llmq
