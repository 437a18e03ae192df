// A regular expression of a pre-tokenizer, matched as GGUF runtimes match it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct pcre2_real_code_8;  // of PCRE2: its header wants a macro set before it is seen

namespace llmq {

/// The published expression for PCRE2, for any version of it: classes have at least the letters and numbers
/// of Unicode 15.1 and just its spaces, and case is ignored in ASCII alone ("'S", not "'\u017F").
std::string runtime_pattern(std::string_view published);

class SplitPattern {
 public:
  explicit SplitPattern(std::string_view published);
  /// Pieces of `text`: matches, and what stands between them. `text` must be valid UTF-8. Thread-safe.
  void split(std::string_view text, std::vector<std::string_view>& pieces) const;

 private:
  struct Free {
    void operator()(pcre2_real_code_8* code) const noexcept;
  };
  std::unique_ptr<pcre2_real_code_8, Free> code_;
};

}  // namespace llmq
