#include "llmq/core/error.hpp"

#include <fmt/format.h>

namespace llmq {

namespace {

constexpr ExitCodeRow kRows[] = {
    {ExitCode::ok, "Success", "success", ""},
    {ExitCode::general, "GeneralError",
     "reading or writing failed during the run, no connection to a hub, anything else",
     "Check disk space and permissions, then run again"},
    {ExitCode::invalid_arguments, "InvalidArgumentsError",
     "unknown option, level or format; invalid job (with a JSON pointer); output exists; input is the "
     "output; directory not writable",
     "See llm-quantize COMMAND --help"},
    {ExitCode::model_not_found, "ModelNotFoundError",
     "path, config.json, weights, a shard or a hub id missing",
     "Check the name; a model is a hub id, a Hugging Face directory or a GGUF file"},
    {ExitCode::authentication_required, "AuthenticationRequiredError", "a hub answers 401 or 403",
     "Set HF_TOKEN to a token that may read this model"},
    {ExitCode::out_of_memory, "OutOfMemoryError", "the plan exceeds --mem-per-rank, or allocation failed",
     "Give more memory with --mem-per-rank, or use fewer threads"},
    {ExitCode::validation, "ValidationError",
     "malformed model files, or a download that fails its check; NaN or Inf in weights; not enough disk at "
     "the check",
     "The file is damaged or incomplete; fetch it again"},
    {ExitCode::checkpoint, "CheckpointError", "--resume: missing, damaged, of another run; or in use",
     "Start without --resume, or choose another --checkpoint-dir"},
    {ExitCode::unsupported_conversion, "UnsupportedConversionError",
     "architecture, level or format not supported", "See --help for what is supported"},
    {ExitCode::cancelled, "CancelledError", "convert: declined at the quality warning, or nobody to ask",
     "Use --force to go on without asking"},
    {ExitCode::imatrix, "ImatrixError", "missing, invalid, or of another model",
     "Make one with: llm-quantize analyze MODEL"},
    {ExitCode::quality_degradation, "QualityDegradationError",
     "quantize --quality-report above the threshold; the file is kept",
     "Try using --protect-super-weights or a less aggressive profile"},
    {ExitCode::coherence_check, "CoherenceCheckFailed",
     "quantize --coherence-check below the threshold; the file is kept",
     "Ultra-low-bit quantization may be too aggressive. Consider Q2_K or dynamic quantization"},
    {ExitCode::profile, "ProfileError", "profile not found, invalid, or does not fit the model",
     "See llm-quantize profile list"},
    {ExitCode::smoothquant, "SmoothQuantError", "smoothquant: a layer cannot be represented",
     "Try another --alpha"},
    {ExitCode::calibration_data, "CalibrationDataError", "text missing, empty, malformed, too short",
     "Give a .txt, .json or .jsonl text, or leave --calibration-data out for the built-in one"},
    {ExitCode::importance, "ImportanceError", "NaN or Inf in the pass",
     "Check that the checkpoint gives sensible output in its original form"},
    {ExitCode::interrupted, "Interrupted",
     "stopped by a signal after committing a checkpoint, or with a download that can go on",
     "Continue with --resume"},
};

const ExitCodeRow& row_of(ExitCode code) noexcept {
  for (const ExitCodeRow& row : kRows) {
    if (row.code == code) return row;
  }
  return kRows[1];
}

std::string format_error_text(const std::string& path, std::uint64_t offset, const std::string& reason) {
  if (offset == FormatError::kNoOffset) return fmt::format("{}: {}", path, reason);
  return fmt::format("{}: {} (at byte {})", path, reason, offset);
}
}  // namespace

std::span<const ExitCodeRow> exit_codes() noexcept { return kRows; }

std::string_view error_type(ExitCode code) noexcept { return row_of(code).type; }

Error::Error(ExitCode code, const std::string& message, std::string suggestion)
    : std::runtime_error(message), code_(code), suggestion_(std::move(suggestion)) {
  if (suggestion_.empty()) suggestion_ = row_of(code).suggestion;
}

FormatError::FormatError(ExitCode code, std::string path, std::uint64_t offset, std::string reason,
                         std::string suggestion)
    : Error(code, format_error_text(path, offset, reason), std::move(suggestion)),
      path_(std::move(path)),
      offset_(offset),
      reason_(std::move(reason)) {}

}  // namespace llmq
