// MPI return codes as exceptions. Included only inside comm/mpi.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include <fmt/format.h>
#include <mpi.h>

#include "llmq/core/error.hpp"

namespace llmq::comm {

/// An MPI call failed: which, for what purpose, and what the library says.
class MpiError : public Error {
 public:
  MpiError(std::string_view call, std::string_view purpose, int code)
      : Error(ExitCode::general, fmt::format("{} failed while \"{}\": {}", call, purpose, text_of(code)),
              "Check that all ranks are alive; resume the run with --resume") {}

 private:
  static std::string text_of(int code) {
    char text[MPI_MAX_ERROR_STRING] = {};
    int length = 0;
    if (MPI_Error_string(code, text, &length) != MPI_SUCCESS) return fmt::format("MPI error {}", code);
    return std::string(text, static_cast<std::size_t>(length));
  }
};

inline void check(int code, std::string_view call, std::string_view purpose) {
  if (code != MPI_SUCCESS) throw MpiError(call, purpose, code);
}

}  // namespace llmq::comm
