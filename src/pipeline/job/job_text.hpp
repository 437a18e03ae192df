// `${name}` in the strings of a job. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace llmq::job {

/// The places of a string that are to be replaced: "a${b}c$$" -> text "a", name "b", text "c$".
struct TextPart {
  bool is_name = false;
  std::string text;
};

/// @throws JobError for "${" without "}" and for an empty name.
std::vector<TextPart> split_text(std::string_view text, std::string_view file, const std::string& pointer);

/// Ids X of `${steps.X.output}` in `text`, in order.
std::vector<std::string> step_references(std::string_view text, std::string_view file,
                                         const std::string& pointer);

/// Replaces names, with a limit on what a document may expand to.
class Expander {
 public:
  /// @param lookup  value of a name; throws JobError for a name it does not know (the pointer is that of the
  /// string that holds it).
  using Lookup = std::function<std::string(const std::string& name, const std::string& pointer)>;
  Expander(std::string_view file, Lookup lookup) : file_(file), lookup_(std::move(lookup)) {}

  /// @throws JobError: malformed, unknown name, more than 64 KiB in one string or 4 MiB in all.
  std::string expand(std::string_view text, const std::string& pointer);

 private:
  std::string file_;
  Lookup lookup_;
  std::size_t produced_bytes_ = 0;
};

}  // namespace llmq::job
