// Errors of the whole program: one exit code per condition of the command-line contract, one exception type
// that carries it, and a separate root for our own bugs.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

namespace llmq {

/// Exit codes of the process; `mpirun` and `srun` hand them on unchanged.
enum class ExitCode : int {
  ok = 0,
  general = 1,
  invalid_arguments = 2,
  model_not_found = 3,
  authentication_required = 4,
  out_of_memory = 5,
  validation = 6,
  checkpoint = 7,
  unsupported_conversion = 8,
  cancelled = 9,
  imatrix = 10,
  quality_degradation = 11,
  coherence_check = 12,
  profile = 13,
  smoothquant = 14,
  calibration_data = 15,
  importance = 16,
  interrupted = 75,
};

/// What is said of a code everywhere: in JSON results, in the manual and in docs/exit-codes.md.
struct ExitCodeRow {
  ExitCode code;
  std::string_view type;        ///< error_type of JSON results
  std::string_view when;        ///< empty: reserved by the contract, no command ends with it yet
  std::string_view suggestion;  ///< where the place of the error knows nothing better
};

/// One row per code, in their order.
std::span<const ExitCodeRow> exit_codes() noexcept;

/// Name of the error as it stands in JSON results, e.g. `ValidationError` for ExitCode::validation.
std::string_view error_type(ExitCode code) noexcept;

/// A run that cannot go on: what happened, and what the user can do about it.
class Error : public std::runtime_error {
 public:
  /// An empty suggestion becomes the general one of the code.
  Error(ExitCode code, const std::string& message, std::string suggestion = {});

  ExitCode code() const noexcept { return code_; }
  const std::string& suggestion() const noexcept { return suggestion_; }

 private:
  ExitCode code_;
  std::string suggestion_;
};

/// A file whose bytes break its format. `offset` is where the reader stood, in bytes from the start of the
/// file.
class FormatError : public Error {
 public:
  static constexpr std::uint64_t kNoOffset = ~std::uint64_t{0};

  FormatError(ExitCode code, std::string path, std::uint64_t offset, std::string reason,
              std::string suggestion = {});

  const std::string& path() const noexcept { return path_; }
  std::uint64_t offset() const noexcept { return offset_; }
  const std::string& reason() const noexcept { return reason_; }

 private:
  std::string path_;
  std::uint64_t offset_;
  std::string reason_;
};

/// A condition that only a mistake in this program can bring about.
class InternalError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

}  // namespace llmq
