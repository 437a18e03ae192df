#include "pipeline/analyze_output.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/pipeline/output_place.hpp"
#include "llmq/report/analyze_report.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

void summarize(const Imatrix& imatrix, AnalyzeResult& result) {
  const ImportanceSummary summary = summarize_importance(imatrix);
  result.statistic_min = summary.min;
  result.statistic_max = summary.max;
  result.statistic_mean = summary.mean;
  result.statistic_std = summary.std;
}

void require_report_place(const fs::path& report, const fs::path& output, std::vector<fs::path> inputs) {
  // Of a directory, every file is input: config.json must not become a report.
  std::error_code ignored;
  for (const fs::path& input : std::vector<fs::path>(inputs)) {
    if (fs::is_directory(input, ignored)) inputs.push_back(input / report.filename());
  }
  inputs.push_back(output);
  require_output_place(report, inputs, "--report");
  if (is_same_place(report, output)) {  // neither need exist yet
    throw Error(ExitCode::invalid_arguments,
                fmt::format("{}: report and importance matrix are the same file", report.string()),
                "Choose another --report");
  }
}

}  // namespace

void require_analyze_output(const AnalyzeOptions& options, const fs::path& output) {
  std::vector<fs::path> inputs = {options.model};
  if (options.data) inputs.push_back(*options.data);
  inputs.insert(inputs.end(), options.merge.begin(), options.merge.end());
  require_output_place(output, inputs, "--output");
  if (!options.report.empty()) require_report_place(options.report, output, inputs);
}

void publish_imatrix(const Imatrix& imatrix, const AnalyzeOptions& options, Log& log, AnalyzeResult& result) {
  summarize(imatrix, result);
  result.format = options.format;
  result.merged_files = options.merge.size();
  result.total_samples = imatrix.samples;
  for (const std::string& line : find_gaps(imatrix).lines()) log.warn("the imatrix has " + line);
  if (const std::vector<std::string> lost = lost_in(imatrix, options.format); !lost.empty()) {
    log.status(
        fmt::format("Note: a {} file does not hold: {}", name_of(options.format), fmt::join(lost, "; ")));
  }
  write_imatrix(imatrix, result.output_path, options.format);
  result.content_hash = read_imatrix(result.output_path).content_hash();
}

void publish_report(const Imatrix& imatrix, const ModelSpec& spec, const AnalyzeOptions& options,
                    AnalyzeResult& result) {
  if (options.report.empty()) return;
  AnalyzeReport report = make_analyze_report(imatrix, spec);
  report.content_hash = result.content_hash;  // of the file, which may hold less
  write_file_atomically(options.report, options.report.extension() == ".html" ? analyze_report_html(report)
                                                                              : analyze_report_json(report));
  result.report_path = options.report;
}

}  // namespace llmq
