#include "pipeline/quality_reuse.hpp"

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/hub/cache.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxBytes = std::uint64_t{256} << 20;

std::optional<QualityResult> read_report(Log& log, const fs::path& path) {
  if (!fs::is_regular_file(path)) return std::nullopt;
  try {
    return parse_quality_report(read_file(path, kMaxBytes, static_cast<int>(ExitCode::validation)),
                                path.string());
  } catch (const Error& error) {
    log.warn(fmt::format("{} is not used: {}", path.filename().string(), error.what()));
    return std::nullopt;
  }
}

}  // namespace

std::optional<QualityResult> find_report(Log& log, const QualityOptions& options,
                                         const QualityIdentity& identity) {
  const fs::path path = quality_report_path(options.quantized);
  std::optional<QualityResult> report = read_report(log, path);
  if (!report) return std::nullopt;
  if (report->identity != identity) {
    log.detail(fmt::format("{} is of other contents: computing again", path.filename().string()));
    return std::nullopt;
  }
  if (options.include_layers && report->tensor_errors.empty()) return std::nullopt;
  if (options.coherence && !report->coherence_score) return std::nullopt;
  if (!options.include_layers) {
    report->tensor_errors.clear();
    report->layer_errors.clear();
  }
  report->original = hub::model_title(options.original);
  report->quantized = hub::model_title(options.quantized);
  log.status(fmt::format("Read from {}: same model, file and text (remove it to compute again)",
                         path.filename().string()));
  return report;
}

}  // namespace llmq
