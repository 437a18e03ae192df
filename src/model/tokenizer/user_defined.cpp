// User-defined tokens: searched for in the text before anything else is done with it.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <iterator>

#include "model/tokenizer/algorithms.hpp"

namespace llmq {
namespace {

/// Tokens that runtimes take for control tokens whatever type the file gives them, because they know them by
/// their text: ends of texts and turns, and the frame of texts with a hole. They are not searched for.
bool is_control_to_runtimes(std::string_view text) {
  static constexpr std::string_view kTexts[] = {
      // ends
      "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>",
      "<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]",
      "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>",
      "<\uFF5Cend\u2581of\u2581sentence\uFF5C>", "[e~[",
      // what stands before the hole, behind it, in it
      "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<\uFF5Cfim\u2581begin\uFF5C>", "<PRE>",
      "\u2581<PRE>", "<|code_prefix|>", "<|prefix|>", "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>",
      "<\uFF5Cfim\u2581hole\uFF5C>", "<SUF>", "\u2581<SUF>", "<|code_suffix|>", "<|suffix|>",
      "<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<\uFF5Cfim\u2581end\uFF5C>", "<MID>", "\u2581<MID>",
      "<|code_middle|>", "<|middle|>",
      // padding, repositories, files
      "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]", "<|fim_repo|>", "<|repo_name|>",
      "<fim-repo>", "<REPO>", "<reponame>", "<|file_sep|>"};
  return std::find(std::begin(kTexts), std::end(kTexts), text) != std::end(kTexts);
}

}  // namespace

UserDefinedTokens::UserDefinedTokens(const Vocabulary& vocabulary) {
  for (std::size_t id = 0; id < vocabulary.types.size(); ++id) {
    const std::string& token = vocabulary.tokens[id];
    if (vocabulary.types[id] == TokenType::user_defined && !token.empty() && !is_control_to_runtimes(token))
      tokens_.push_back({token, static_cast<TokenId>(id)});
  }
  std::stable_sort(tokens_.begin(), tokens_.end(),
                   [](const Fragment& a, const Fragment& b) { return a.text.size() > b.text.size(); });
}

std::vector<Fragment> UserDefinedTokens::split(std::string_view text) const {
  std::vector<Fragment> fragments;
  if (!text.empty()) fragments.push_back({text, -1});
  for (const auto& [wanted, id] : tokens_) {
    std::vector<Fragment> split;
    for (const Fragment& fragment : fragments) {
      std::string_view rest = fragment.text;
      std::size_t at = fragment.token >= 0 ? std::string_view::npos : rest.find(wanted);
      if (at == std::string_view::npos) {
        split.push_back(fragment);
        continue;
      }
      for (; at != std::string_view::npos; at = rest.find(wanted)) {
        if (at > 0) split.push_back({rest.substr(0, at), -1});
        split.push_back({rest.substr(at, wanted.size()), id});
        rest.remove_prefix(at + wanted.size());
      }
      if (!rest.empty()) split.push_back({rest, -1});
    }
    fragments = std::move(split);
  }
  return fragments;
}

}  // namespace llmq
