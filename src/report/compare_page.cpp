// The page of several files beside their original, a section a function. SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "llmq/core/text.hpp"
#include "llmq/report/quality_report.hpp"

#include "report/file_names.hpp"
#include "report/html.hpp"
#include "report/quality_charts.hpp"
#include "report/quality_sections.hpp"

namespace llmq {
namespace {

constexpr std::size_t kMostMapCells = 3600;  // of all candidates together

std::string facts(const CompareResult& result) {
  std::vector<html::Fact> facts = {{"Original", shown_name(result.original)},
                                   {"Candidates", format_count(result.candidates.size())}};
  if (result.metrics.need_pass() && !result.candidates.empty()) {
    const QualityMetrics& m = result.candidates.front().metrics;
    facts.push_back({"Text", result.dataset});
    facts.push_back({"Scored", fmt::format("{} positions in {} chunks of {} tokens", format_count(m.scores),
                                           format_count(result.chunks), format_count(result.ctx))});
    if (result.metrics.perplexity)
      facts.push_back(
          {"Perplexity of the original", with_error(m.perplexity_original, m.perplexity_original_error)});
  }
  facts.push_back({"Computed", result.timestamp});
  return html::header(
      fmt::format("{} files made of {}", result.candidates.size(), shown_name(result.original)), facts);
}

std::vector<std::filesystem::path> paths_of(const CompareResult& result) {
  std::vector<std::filesystem::path> paths;
  for (const QualityResult& one : result.candidates) paths.push_back(one.quantized);
  return paths;
}

/// By what the drawing tells files apart: the first of the groups shown that says how large they are.
std::string tradeoff_section(const CompareResult& result) {
  const MetricSet& show = result.metrics;
  if (!show.kld || !(show.size || show.bpw) || result.candidates.empty()) return "";
  const SizeScale scale =
      show.size ? SizeScale{"Size of the file",
                            [](double bytes) { return format_size(static_cast<std::uint64_t>(bytes)); }}
                : SizeScale{"Bits a weight", html::number};
  const std::vector<std::string> names = short_names(paths_of(result));
  std::vector<TradeoffPoint> points;
  for (const QualityResult& one : result.candidates) {
    points.push_back({names[points.size()],
                      show.size ? static_cast<double>(one.file_bytes) : one.effective_bpw, one.metrics.kld});
  }
  const std::vector<bool> dominated = find_dominated(points);
  std::vector<std::string> beaten;
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (dominated[i]) beaten.push_back(points[i].name);
  }
  std::string body = html::paragraph(
                         "Mean KL divergence with its standard error. The line joins the files that no other "
                         "one beats in both size and divergence.") +
                     draw_tradeoff(points, scale);
  if (!beaten.empty())
    body += html::paragraph(
        fmt::format("Beaten by a file that is neither larger nor further off: {}.", fmt::join(beaten, ", ")));
  return html::section("tradeoff-section", scale.label + " against KL divergence", body);
}

std::string table_section(const CompareResult& result) {
  const MetricSet& show = result.metrics;
  html::Table table{"candidates", {{"file", false}}, {}};
  const auto columns = [&](std::initializer_list<const char*> names) {
    for (const char* name : names) table.columns.push_back({name});
  };
  if (show.size) columns({"size", "of the original"});
  if (show.bpw) columns({"bits a weight"});
  if (show.perplexity) columns({"perplexity", "change"});
  if (show.kld) columns({"KL divergence", "99 %", "same top token"});
  const std::vector<std::string> names = shown_names(paths_of(result));
  for (const QualityResult& one : result.candidates) {
    const QualityMetrics& m = one.metrics;
    std::vector<std::string> row = {names[table.rows.size()]};
    const auto add = [&](std::initializer_list<std::string> cells) { row.insert(row.end(), cells); };
    if (show.size) add({format_size(one.file_bytes), fmt::format("{:.1f} %", 100 * one.compression_ratio)});
    if (show.bpw) add({fmt::format("{:.3f}", one.effective_bpw)});
    if (show.perplexity)
      add({with_error(m.perplexity_quantized, m.perplexity_quantized_error),
           fmt::format("{:+.2f} %", m.perplexity_delta_pct)});
    if (show.kld)
      add({with_error(m.kld.mean, m.kld.error), html::number(m.kld_p99),
           fmt::format("{:.2f} ± {:.2f} %", m.same_top_pct, m.same_top_error_pct)});
    table.rows.push_back(std::move(row));
  }
  return html::section("table", "All candidates", "<div class=\"held\">" + html::draw(table) + "</div>\n",
                       true);
}

std::string positions_section(const CompareResult& result) {
  if (!result.metrics.kld) return "";
  const std::vector<std::string> names = short_names(paths_of(result));
  std::vector<DivergenceLine> lines;
  for (const QualityResult& one : result.candidates) lines.push_back({names[lines.size()], one.positions});
  const std::string drawing = draw_positions(lines);
  return drawing.empty() ? "" : html::section("positions-section", "KL divergence along the chunk", drawing);
}

std::string maps_section(const CompareResult& result) {
  const std::vector<std::string> names = shown_names(paths_of(result));
  std::string body;
  std::size_t cells = 0, left_out = 0, shown = 0;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::vector<TensorError>& tensors = result.candidates[i].tensor_errors;
    if (tensors.empty()) continue;
    cells += map_cells(tensors);
    if (cells > kMostMapCells) {
      ++left_out;
      continue;
    }
    body += fmt::format("<details{}><summary>{}</summary>\n{}</details>\n", shown == 0 ? " open" : "",
                        html::escape(names[i]), draw_error_maps(tensors, fmt::format("map{}", shown)));
    ++shown;
  }
  if (left_out > 0)
    body += html::paragraph(
        fmt::format("{} more would make this page too large: see a report of each.", left_out));
  return shown + left_out == 0 ? "" : html::section("maps", "Bits and errors by layer and role", body, true);
}

std::string sentences_section(const CompareResult& result) {
  if (!result.metrics.kld || result.candidates.empty()) return "";
  const auto worst = std::max_element(
      result.candidates.begin(), result.candidates.end(),
      [](const QualityResult& a, const QualityResult& b) { return a.metrics.kld.mean < b.metrics.kld.mean; });
  if (worst->sentences.empty()) return "";
  return html::section(
      "sentences", "Where " + shown_name(worst->quantized) + " departs most",
      html::paragraph("The file with the largest divergence. The stronger a word's colour, the more "
                      "the prediction of it changed; point at it for figures.") +
          draw_sentences(worst->sentences),
      true);
}

}  // namespace

std::string compare_html(const CompareResult& result) {
  return html::page("Comparison of files made of " + shown_name(result.original), facts(result),
                    table_section(result) + tradeoff_section(result) + positions_section(result) +
                        maps_section(result) + sentences_section(result));
}

}  // namespace llmq
