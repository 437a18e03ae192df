#include "llmq/core/error.hpp"

#include <fmt/format.h>

namespace llmq {

std::string_view error_type(ExitCode code) noexcept {
  switch (code) {
    case ExitCode::ok:
      return "Success";
    case ExitCode::general:
      return "GeneralError";
    case ExitCode::invalid_arguments:
      return "InvalidArgumentsError";
    case ExitCode::model_not_found:
      return "ModelNotFoundError";
    case ExitCode::authentication_required:
      return "AuthenticationRequiredError";
    case ExitCode::out_of_memory:
      return "OutOfMemoryError";
    case ExitCode::validation:
      return "ValidationError";
    case ExitCode::checkpoint:
      return "CheckpointError";
    case ExitCode::unsupported_conversion:
      return "UnsupportedConversionError";
    case ExitCode::cancelled:
      return "CancelledError";
    case ExitCode::imatrix:
      return "ImatrixError";
    case ExitCode::quality_degradation:
      return "QualityDegradationError";
    case ExitCode::coherence_check:
      return "CoherenceCheckFailed";
    case ExitCode::profile:
      return "ProfileError";
    case ExitCode::smoothquant:
      return "SmoothQuantError";
    case ExitCode::calibration_data:
      return "CalibrationDataError";
    case ExitCode::importance:
      return "ImportanceError";
    case ExitCode::interrupted:
      return "Interrupted";
  }
  return "GeneralError";
}

namespace {
std::string format_error_text(const std::string& path, std::uint64_t offset, const std::string& reason) {
  if (offset == FormatError::kNoOffset) return fmt::format("{}: {}", path, reason);
  return fmt::format("{}: {} (at byte {})", path, reason, offset);
}
}  // namespace

FormatError::FormatError(ExitCode code, std::string path, std::uint64_t offset, std::string reason,
                         std::string suggestion)
    : Error(code, format_error_text(path, offset, reason), std::move(suggestion)),
      path_(std::move(path)),
      offset_(offset),
      reason_(std::move(reason)) {}

}  // namespace llmq
