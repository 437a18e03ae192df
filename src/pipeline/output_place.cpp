#include "llmq/pipeline/output_place.hpp"

#include <unistd.h>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"

namespace llmq {

namespace fs = std::filesystem;

namespace {

fs::path resolved(const fs::path& path) { return fs::weakly_canonical(fs::absolute(path)); }

/// True if `inner` is `outer` or below it.
bool contains(const fs::path& outer, const fs::path& inner) {
  const fs::path target = resolved(outer);
  for (fs::path at = resolved(inner); !at.empty(); at = at.parent_path()) {
    if (at == target) return true;
    if (at == at.root_path()) break;
  }
  return false;
}

/// Makes it if it is missing.
void require_writable(const fs::path& directory, const std::string& suggestion) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (fs::is_directory(directory) && ::access(directory.c_str(), W_OK | X_OK) == 0) return;
  throw Error(ExitCode::invalid_arguments, fmt::format("{}: directory is not writable", directory.string()),
              suggestion);
}

fs::path directory_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

/// A directory of the kind that is to be written, or an empty one.
bool is_replaceable(const fs::path& directory, const std::function<bool(std::string_view config)>& is_ours) {
  constexpr std::uint64_t kMaxConfigBytes = std::uint64_t{16} << 20;
  if (!fs::is_directory(directory)) return false;
  if (fs::is_empty(directory)) return true;
  const fs::path config = directory / "config.json";
  return fs::is_regular_file(config) && is_ours(read_file(config, kMaxConfigBytes));
}

}  // namespace

bool is_same_place(const fs::path& a, const fs::path& b) { return resolved(a) == resolved(b); }

void require_output_place(const fs::path& output, const std::vector<fs::path>& inputs,
                          std::string_view option) {
  const std::string suggestion = fmt::format("Choose another {}", option);
  require_writable(directory_of(output), suggestion);
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

void require_output_directory(const fs::path& output, const std::vector<fs::path>& inputs, bool force,
                              const std::function<bool(std::string_view config)>& is_ours,
                              std::string_view kind) {
  const std::string suggestion = "Choose another --output-name or --output-dir";
  const auto refuse = [&](const std::string& what, const std::string& instead) {
    throw Error(ExitCode::invalid_arguments, fmt::format("{}: {}", output.string(), what), instead);
  };
  for (const fs::path& input : inputs) {
    if (contains(output, input))
      refuse(fmt::format("output is or holds the input {}", input.string()), suggestion);
  }
  require_writable(directory_of(output), suggestion);
  if (!fs::exists(fs::symlink_status(output))) return;
  if (!force) refuse("output exists already", "Use --force to overwrite it, or choose another --output-name");
  if (fs::is_symlink(output) || !is_replaceable(output, is_ours))
    refuse(fmt::format("is not {}: it is not replaced, not even with --force", kind), suggestion);
}

fs::path directory_path(const fs::path& output_dir, const std::string& name, const std::string& otherwise) {
  if (name.find('/') != std::string::npos || name == "." || name == "..") {
    throw Error(ExitCode::invalid_arguments, fmt::format("output name \"{}\" must be a plain name", name),
                "Put the directory above it into --output-dir");
  }
  return output_dir / (name.empty() ? otherwise : name);
}

}  // namespace llmq
