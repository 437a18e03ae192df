#include "cli/render_job.hpp"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"

#include "cli/json_document.hpp"

namespace llmq::cli {
namespace {

std::string status_name(StepStatus status) {
  switch (status) {
    case StepStatus::run:
      return "run";
    case StepStatus::resumed:
      return "resumed";
    case StepStatus::skipped:
      return "skipped";
    case StepStatus::would_run:
      return "would run";
    case StepStatus::up_to_date:
      return "up to date";
  }
  throw InternalError("unknown step status");
}

/// A row of the table; figures come from the command's JSON, so they are there for skipped steps too.
struct Row {
  std::string step, type, status, time, output, size, bpw, kld;
};

std::string number(const Json& json, const char* key, const char* format) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_number()) return {};
  return fmt::format(fmt::runtime(format), found->get<double>());
}

void add_figures(Row& row, const Json& figures) {
  if (const auto size = figures.find("file_size"); size != figures.end() && size->is_number_unsigned())
    row.size = format_size(size->get<std::uint64_t>());
  const auto metrics = figures.find("metrics");
  const Json& inner = metrics == figures.end() ? figures : *metrics;
  row.bpw = number(inner, "effective_bpw", "{:.3f}");
  row.kld = number(inner, "kld_mean", "{:.6f}");
}

std::vector<Row> rows_of(const StepReport& step) {
  Row row{step.id,
          step.type,
          status_name(step.status),
          fmt::format("{:.1f} s", step.seconds),
          step.output.string(),
          "",
          "",
          ""};
  const Json result = step.result.empty() ? Json::object() : Json::parse(step.result);
  add_figures(row, result);
  std::vector<Row> rows = {row};
  if (!result.contains("candidates")) return rows;
  for (const Json& candidate : result["candidates"]) {
    const std::string name = candidate["quantized_model"].get<std::string>();
    rows.push_back({"", "", "", "", "  " + std::filesystem::path(name).filename().string(), "", "", ""});
    add_figures(rows.back(), candidate);
  }
  return rows;
}

std::string plan_table(const JobRunResult& result) {
  std::size_t id_width = 4;
  std::size_t reason_width = 3;
  for (const StepReport& step : result.steps) {
    id_width = std::max(id_width, step.id.size());
    reason_width = std::max(reason_width, step.reason.size());
  }
  const auto line = [&](std::string_view id, std::string_view type, std::string_view status,
                        std::string_view reason, const std::string& output) {
    return fmt::format("{:<{}} {:<9} {:<11} {:<{}}  {}\n", id, id_width, type, status, reason, reason_width,
                       output.empty() ? "-" : output);
  };
  std::string text = line("step", "type", "status", "why", "output");
  for (const StepReport& step : result.steps)
    text += line(step.id, step.type, status_name(step.status), step.reason, step.output.string());
  return text;
}

}  // namespace

std::string human(const JobRunResult& result) {
  if (result.dry_run) return fmt::format("Plan of {} (nothing written)\n", result.job) + plan_table(result);
  std::vector<Row> rows = {{"step", "type", "status", "time", "output", "size", "bpw", "KLD mean"}};
  for (const StepReport& step : result.steps) {
    for (Row& row : rows_of(step)) rows.push_back(std::move(row));
  }
  std::size_t id_width = 0;
  std::size_t output_width = 0;
  for (const Row& row : rows) {
    id_width = std::max(id_width, row.step.size());
    output_width = std::max(output_width, row.output.size());
  }
  std::string text = fmt::format("Job {}\n", result.job);
  for (const Row& row : rows) {
    std::string line =
        fmt::format("{:<{}} {:<9} {:<8} {:>9}  {:<{}} {:>9} {:>7} {:>10}", row.step, id_width, row.type,
                    row.status, row.time, row.output, output_width, row.size, row.bpw, row.kld);
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string json(const JobRunResult& result, const std::vector<std::string>& warnings) {
  Json steps = Json::array();
  for (const StepReport& step : result.steps) {
    Json one = {{"id", step.id},
                {"type", step.type},
                {"status", status_name(step.status)},
                {"reason", step.reason},
                {"output", step.output.empty() ? Json(nullptr) : Json(step.output.string())}};
    if (!result.dry_run) {
      one["duration_seconds"] = step.seconds;
      one["result"] = step.result.empty() ? Json(nullptr) : Json::parse(step.result);
    }
    steps.push_back(std::move(one));
  }
  return text({{"status", result.dry_run ? "planned" : "success"},
               {"job", result.job},
               {"job_path", result.file.string()},
               {"steps", steps},
               {"warnings", warnings}});
}

}  // namespace llmq::cli
