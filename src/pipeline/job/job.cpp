#include "llmq/pipeline/job.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace llmq {

JobError::JobError(std::string_view file, std::string pointer, std::string_view reason,
                   std::string suggestion, ExitCode code)
    : Error(code, fmt::format("{}: {}: {}", file, pointer.empty() ? "the document" : pointer, reason),
            std::move(suggestion)),
      pointer_(std::move(pointer)) {}

const JobOption* JobStep::find(std::string_view name) const noexcept {
  const auto found =
      std::find_if(options.begin(), options.end(), [&](const JobOption& one) { return one.name == name; });
  return found == options.end() ? nullptr : &*found;
}

std::string JobStep::value(std::string_view name, std::string_view fallback) const {
  const JobOption* option = find(name);
  return option == nullptr ? std::string(fallback) : option->values.front();
}

}  // namespace llmq
