#include "pipeline/job/job_text.hpp"

#include <utility>

#include <fmt/format.h>

#include "llmq/pipeline/job.hpp"

namespace llmq::job {
namespace {

constexpr std::size_t kMaxStringBytes = std::size_t{64} << 10;
constexpr std::size_t kMaxJobBytes = std::size_t{4} << 20;
constexpr std::string_view kStepPrefix = "steps.";
constexpr std::string_view kOutputSuffix = ".output";

}  // namespace

std::vector<TextPart> split_text(std::string_view text, std::string_view file, const std::string& pointer) {
  std::vector<TextPart> parts;
  std::string plain;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const std::string_view rest = text.substr(at);
    if (rest.starts_with("$$")) {
      plain += '$';
      ++at;
    } else if (rest.starts_with("${")) {
      const std::size_t end = rest.find('}');
      if (end == std::string_view::npos || end == 2) {
        throw JobError(file, pointer, end == 2 ? "\"${}\" names nothing" : "\"${\" without \"}\"",
                       "Write ${name}, or $$ for a dollar sign");
      }
      if (!plain.empty()) parts.push_back({false, std::exchange(plain, {})});
      parts.push_back({true, std::string(rest.substr(2, end - 2))});
      at += end;
    } else {
      plain += text[at];
    }
  }
  if (!plain.empty()) parts.push_back({false, plain});
  return parts;
}

std::vector<std::string> step_references(std::string_view text, std::string_view file,
                                         const std::string& pointer) {
  std::vector<std::string> ids;
  for (const TextPart& part : split_text(text, file, pointer)) {
    if (!part.is_name || !part.text.starts_with(kStepPrefix)) continue;
    const std::string_view rest = std::string_view(part.text).substr(kStepPrefix.size());
    if (!rest.ends_with(kOutputSuffix)) {
      throw JobError(file, pointer, fmt::format("\"${{{}}}\": expected ${{steps.ID.output}}", part.text),
                     "A step has one thing to refer to: its output");
    }
    ids.emplace_back(rest.substr(0, rest.size() - kOutputSuffix.size()));
  }
  return ids;
}

std::string Expander::expand(std::string_view text, const std::string& pointer) {
  std::string result;
  for (const TextPart& part : split_text(text, file_, pointer)) {
    result += part.is_name ? lookup_(part.text, pointer) : part.text;
    if (result.size() > kMaxStringBytes) {
      throw JobError(file_, pointer, fmt::format("expands to more than {} bytes", kMaxStringBytes),
                     "Use fewer or shorter variables");
    }
  }
  produced_bytes_ += result.size();
  if (produced_bytes_ > kMaxJobBytes) {
    throw JobError(file_, pointer, fmt::format("the job expands to more than {} bytes", kMaxJobBytes),
                   "Use fewer or shorter variables");
  }
  return result;
}

}  // namespace llmq::job
