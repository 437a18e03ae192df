// The page, a section a function. SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "llmq/core/text.hpp"
#include "llmq/importance/method.hpp"
#include "llmq/report/analyze_report.hpp"

#include "report/charts.hpp"
#include "report/heat_map.hpp"
#include "report/html.hpp"

namespace llmq {
namespace {

constexpr std::size_t kTopTensors = 20;
constexpr std::size_t kListedTensors = 1500;  // beyond, report.json has them

using Tensors = std::vector<const TensorReport*>;

std::string or_dash(const std::optional<double>& value) { return value ? html::number(*value) : "–"; }

std::string percent(double value) { return html::number(100 * value) + " %"; }

std::string super_weight_words(const AnalyzeReport& report) {
  if (!report.super_weights_searched) return "not searched";
  return report.spikes.empty() ? "none found" : format_count(report.spikes.size());
}

std::string draw_header(const AnalyzeReport& report) {
  const std::vector<html::Fact> facts = {
      {"Architecture", report.architecture},
      {"Layers", format_count(report.n_layers)},
      {"Hidden size", format_count(report.hidden_size)},
      {"Method", report.method},
      {"Samples", format_count(report.samples) +
                      (report.ctx == 0 ? "" : fmt::format(" of {} tokens", format_count(report.ctx)))},
      {"Calibration text", report.dataset_name},
      {"Text hash", html::short_hash(report.dataset_hash)},
      {"Model hash", html::short_hash(report.model_hash)},
      {"Content hash", html::short_hash(report.content_hash)},
      {"Tensors measured", format_count(report.tensors.size())},
      {"Super weights", super_weight_words(report)},
  };
  return html::header("Importance of " + report.model_name, facts);
}

template <class Value>
HeatMap make_map(const AnalyzeReport& report, std::string id, std::string label, const Value& value) {
  HeatMap map{std::move(id), std::move(label), report.n_layers, report.roles, {}, false};
  for (const TensorReport& tensor : report.tensors) {
    if (tensor.layer) map.cells.push_back({*tensor.layer, tensor.role, tensor.name, value(tensor)});
  }
  return map;
}

std::string importance_section(const AnalyzeReport& report) {
  const std::string unit(statistic_of(report.method));
  const HeatMap map = make_map(report, "importance-map", unit, [](const TensorReport& tensor) {
    return std::optional(tensor.importance.mean);
  });
  return html::section(
      "importance", "Importance by layer and role",
      html::paragraph(fmt::format(
          "A column's importance is its {}. Shown is the mean over a tensor's columns, on a logarithmic "
          "colour scale.",
          unit)) +
          draw(map));
}

html::Table tensor_table(std::string id, const Tensors& tensors) {
  html::Table table{std::move(id),
                    {{"tensor", false},
                     {"score"},
                     {"mean"},
                     {"median"},
                     {"min"},
                     {"max"},
                     {"outliers"},
                     {"kurtosis"},
                     {"dead"},
                     {"covered"},
                     {"error"},
                     {"error p95"}},
                    {}};
  for (const TensorReport* tensor : tensors) {
    const Spread& importance = tensor->importance;
    table.rows.push_back(
        {tensor->name, or_dash(tensor->score), html::number(importance.mean), html::number(importance.median),
         html::number(importance.min), html::number(importance.max), format_count(tensor->outliers.count),
         or_dash(tensor->kurtosis), format_count(tensor->dead_columns), format_count(tensor->covered_weights),
         tensor->error ? percent(tensor->error->median) : "–",
         tensor->error ? percent(tensor->error->p95) : "–"});
  }
  return table;
}

Tensors all_tensors(const AnalyzeReport& report) {
  Tensors tensors;
  for (const TensorReport& tensor : report.tensors) tensors.push_back(&tensor);
  return tensors;
}

std::string top_section(const AnalyzeReport& report) {
  Tensors tensors = all_tensors(report);
  std::stable_sort(tensors.begin(), tensors.end(), [](const TensorReport* a, const TensorReport* b) {
    return a->rank_value() > b->rank_value();
  });
  tensors.resize(std::min(tensors.size(), kTopTensors));
  const bool scored =
      std::any_of(tensors.begin(), tensors.end(), [](auto* tensor) { return tensor->score.has_value(); });
  return html::section(
      "top", fmt::format("The {} most important tensors", tensors.size()),
      html::paragraph(scored ? "Ordered by score: the sensitivity of the loss a weight and sample."
                             : "Ordered by the mean importance of their columns.") +
          html::draw(tensor_table("top-tensors", tensors)),
      true);
}

std::string list_outliers(const OutlierColumns& outliers, bool experts) {
  std::string text;
  for (const OutlierColumn& one : outliers.top) {
    if (!text.empty()) text += ", ";
    if (experts) text += fmt::format("expert {} ", one.matrix);
    text += fmt::format("{} ({}×)", one.column, html::number(one.ratio));
  }
  return text;
}

html::Table outlier_table(const AnalyzeReport& report) {
  Tensors tensors = all_tensors(report);
  std::erase_if(tensors, [](const TensorReport* tensor) { return tensor->outliers.count == 0; });
  std::stable_sort(tensors.begin(), tensors.end(), [](const TensorReport* a, const TensorReport* b) {
    return a->outliers.top.front().ratio > b->outliers.top.front().ratio;
  });
  tensors.resize(std::min(tensors.size(), kTopTensors));
  html::Table table{"outlier-table", {{"tensor", false}, {"columns"}, {"column (ratio)", false}}, {}};
  for (const TensorReport* tensor : tensors) {
    table.rows.push_back({tensor->name, format_count(tensor->outliers.count),
                          list_outliers(tensor->outliers, tensor->experts.has_value())});
  }
  return table;
}

std::string outlier_section(const AnalyzeReport& report) {
  const HeatMap map = make_map(report, "outlier-map", "outlier columns", [](const TensorReport& tensor) {
    return std::optional(static_cast<double>(tensor.outliers.count));
  });
  const html::Table table = outlier_table(report);
  return html::section(
      "outliers", "Outlier columns",
      html::paragraph(
          fmt::format("Columns whose importance is above {:g} times their tensor's median.", kOutlierRatio)) +
          (table.rows.empty() ? html::paragraph("No outlier columns.") : draw(map) + html::draw(table)));
}

html::Table spike_table(const AnalyzeReport& report) {
  html::Table table{"super-weight-table",
                    {{"tensor", false}, {"row"}, {"column"}, {"value"}, {"loss change"}, {"KL divergence"}},
                    {}};
  for (const SuperWeight& spike : report.spikes) {
    table.rows.push_back({spike.tensor, std::to_string(spike.row), std::to_string(spike.column),
                          html::number(spike.value), fmt::format("{:+.4g}", spike.loss_change),
                          html::number(spike.kl_divergence)});
  }
  return table;
}

std::string super_weight_section(const AnalyzeReport& report) {
  std::string body = html::paragraph(
      "Single weights the model cannot do without; figures are for the weight set to zero, in nats.");
  if (!report.super_weights_searched)
    body += html::paragraph("Super weights were not searched.");
  else if (report.spikes.empty())
    body += html::paragraph("No super weights.");
  else
    body += draw_layer_map(report) + html::draw(spike_table(report));
  return html::section("super-weights", "Super weights", body);
}

std::string covered_section(const AnalyzeReport& report) {
  if (!report.super_weights_searched) return "";
  const HeatMap map = make_map(report, "covered-map", "covered weights", [](const TensorReport& tensor) {
    return std::optional(static_cast<double>(tensor.covered_weights));
  });
  return html::section(
      "covered", "Covered weights by layer and role",
      html::paragraph(fmt::format(
          "{} weights count as protected: the top {} of all by squared weight times the importance of its "
          "column, and the super weights.",
          format_count(report.total_protected), percent(report.coverage))) +
          draw(map));
}

/// One tensor of each layer's, more only where their counts differ.
Tensors expert_tensors(const AnalyzeReport& report) {
  Tensors tensors;
  for (const TensorReport& tensor : report.tensors) {
    if (!tensor.experts) continue;
    const bool known = !tensors.empty() && tensors.back()->layer == tensor.layer &&
                       tensors.back()->experts->tokens == tensor.experts->tokens;
    if (!known) tensors.push_back(&tensor);
  }
  return tensors;
}

std::string expert_section(const AnalyzeReport& report) {
  const Tensors tensors = expert_tensors(report);
  if (tensors.empty()) return "";
  html::Table table{
      "expert-table", {{"tensor", false}, {"experts"}, {"without tokens"}, {"fewest"}, {"most"}}, {}};
  std::string bars;
  for (const TensorReport* tensor : tensors) {
    const std::vector<std::uint64_t>& tokens = tensor->experts->tokens;
    const auto [fewest, most] = std::minmax_element(tokens.begin(), tokens.end());
    table.rows.push_back({tensor->name, format_count(tokens.size()),
                          format_count(tensor->experts->without_tokens), format_count(*fewest),
                          format_count(*most)});
    bars += fmt::format("<h3>{}</h3>\n", html::escape(tensor->name)) + draw_experts(*tensor);
  }
  return html::section(
      "experts", "Coverage of experts",
      html::paragraph("Tokens each expert saw. Marks below the line: experts without tokens.") +
          html::draw(table) + bars);
}

std::string convergence_section(const AnalyzeReport& report) {
  if (report.role_errors.empty()) return "";
  const HeatMap map = make_map(report, "error-map", "relative standard error (median over columns)",
                               [](const TensorReport& tensor) {
                                 return tensor.error ? std::optional(tensor.error->median) : std::nullopt;
                               });
  return html::section(
      "convergence", "Did the samples suffice?",
      html::paragraph("Relative standard error of the columns' mean a^2, median over columns, "
                      "then over layers. An estimate that "
                      "takes tokens as independent; tokens of one text are not, so the true error "
                      "is larger. The curve follows "
                      "1/sqrt(n) from what all samples gave.") +
          draw_convergence(group_roles(report.role_errors), report.samples) +
          "<h3>Median over columns, by layer and role</h3>\n" + draw(map));
}

std::string all_section(const AnalyzeReport& report) {
  Tensors tensors = all_tensors(report);
  std::string body;
  if (tensors.size() > kListedTensors) {
    body = html::paragraph(fmt::format("The first {} of {}; a report written as .json has all.",
                                       format_count(kListedTensors), format_count(tensors.size())));
    tensors.resize(kListedTensors);
  }
  body += "<details><summary>Show</summary>\n" + html::draw(tensor_table("all-tensors", tensors)) +
          "</details>\n";
  return html::section("all", "All tensors", body, true);
}

}  // namespace

std::string analyze_report_html(const AnalyzeReport& report) {
  return html::page("Importance of " + report.model_name, draw_header(report),
                    importance_section(report) + outlier_section(report) + super_weight_section(report) +
                        covered_section(report) + convergence_section(report) + expert_section(report) +
                        top_section(report) + all_section(report));
}

}  // namespace llmq
