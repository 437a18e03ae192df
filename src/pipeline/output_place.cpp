#include "llmq/pipeline/output_place.hpp"

#include <unistd.h>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"

namespace llmq {

namespace fs = std::filesystem;

void require_output_place(const fs::path& output, const std::vector<fs::path>& inputs,
                          std::string_view option) {
  const std::string suggestion = fmt::format("Choose another {}", option);
  const fs::path directory = output.has_parent_path() ? output.parent_path() : fs::path(".");
  std::error_code error;
  fs::create_directories(directory, error);
  if (!fs::is_directory(directory) || ::access(directory.c_str(), W_OK | X_OK) != 0) {
    throw Error(ExitCode::invalid_arguments, fmt::format("{}: directory is not writable", directory.string()),
                suggestion);
  }
  if (fs::is_directory(output)) {
    throw Error(ExitCode::invalid_arguments, fmt::format("{}: is a directory", output.string()), suggestion);
  }
  for (const fs::path& input : inputs) {
    if (!is_same_file(output, input)) continue;
    throw Error(ExitCode::invalid_arguments,
                fmt::format("{}: output is the same file as the input {}", output.string(), input.string()),
                suggestion);
  }
}

}  // namespace llmq
