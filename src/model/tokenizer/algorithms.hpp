// The two ways from text to ids, working from a Vocabulary alone. docs/formats/tokenizers.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "llmq/model/tokenizer.hpp"

namespace llmq {

/// SentencePiece-like: merge neighbours by score, bytes for what is left.
std::unique_ptr<Tokenizer> make_spm_tokenizer(Vocabulary vocabulary);
/// Byte-level BPE: split by regular expressions, merge neighbours by rank.
/// @throws Error(unsupported_conversion) for a pre-tokenizer id that is not in the table.
std::unique_ptr<Tokenizer> make_bpe_tokenizer(Vocabulary vocabulary);

/// A stretch of text, or a user-defined token found in it.
struct Fragment {
  std::string_view text;
  TokenId token = -1;  ///< >= 0: this fragment is that token
};
/// User-defined tokens, but for those that runtimes take for control tokens: they stay text.
class UserDefinedTokens {
 public:
  /// @param vocabulary  must outlive it
  explicit UserDefinedTokens(const Vocabulary& vocabulary);
  /// Splits them out, longest first.
  std::vector<Fragment> split(std::string_view text) const;

 private:
  std::vector<Fragment> tokens_;  ///< longest first
};

/// Length in bytes of the UTF-8 character that starts with `lead`; 1 for stray bytes.
constexpr std::size_t utf8_length(char lead) noexcept {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0xC0 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

/// The alphabet of byte-level BPE: a printable character (as UTF-8) for each byte.
const std::vector<std::string>& byte_alphabet();
/// Bytes of a token text in that alphabet; characters outside of it stay as they are.
std::string from_byte_alphabet(std::string_view text);

/// Regular expressions of a pre-tokenizer id, applied one after the other; empty when unknown.
struct PreTokenizer {
  std::string_view id;
  std::vector<std::string> patterns;
  bool ignore_merges = false;  ///< a whole word in the vocabulary is taken before merging
  bool adds_bos = false;       ///< where no flag says so
  bool composes = false;       ///< its models are published with NFC, which GGUF runtimes leave out
};
const PreTokenizer* find_pre_tokenizer(std::string_view id);
/// The first row that cuts words by `patterns`, one that treats whole words alike before others.
const PreTokenizer* find_pre_tokenizer(const std::vector<std::string>& patterns, bool ignore_merges);
const std::vector<PreTokenizer>& pre_tokenizers();

}  // namespace llmq
