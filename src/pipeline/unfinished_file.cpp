#include "pipeline/unfinished_file.hpp"

#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "llmq/core/error.hpp"

namespace llmq {

namespace fs = std::filesystem;

fs::path UnfinishedFile::partial_name(fs::path name) { return name += ".partial"; }

UnfinishedFile::UnfinishedFile(fs::path name, std::uint64_t bytes)
    : name_(std::move(name)), partial_(partial_name(name_)), lock_(partial_) {
  if (!lock_.owns()) {
    throw Error(ExitCode::checkpoint, fmt::format("{} is being written by another run", partial_.string()),
                "Wait for the other run, or write to another place");
  }
  try {
    File(partial_, File::Mode::create_truncate).preallocate(bytes);
  } catch (...) {
    std::error_code ignored;
    fs::remove(partial_, ignored);
    throw;
  }
}

UnfinishedFile::~UnfinishedFile() {
  std::error_code ignored;
  if (!published_) fs::remove(partial_, ignored);
}

void UnfinishedFile::publish() {
  publish_file(partial_, name_);
  published_ = true;
}

}  // namespace llmq
