// Text to ids. Two algorithms (SPM merging by score, byte-level BPE) behind one interface, built from
// tokenizer.model, tokenizer.json or GGUF metadata. Algorithms: docs/formats/tokenizers.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace llmq {

class GgufMetadata;
using TokenId = std::int32_t;

enum class TokenType : std::int32_t {
  undefined = 0,
  normal = 1,
  unknown = 2,
  control = 3,
  user_defined = 4,
  unused = 5,
  byte = 6
};

/// Everything the GGUF file says about a tokenizer; the algorithms work from this alone.
struct Vocabulary {
  std::string model;                ///< "llama" (SPM) or "gpt2" (byte-level BPE)
  std::string pre = "default";      ///< pre-tokenizer id for gpt2
  std::vector<std::string> tokens;  ///< text by id; BPE entries in the byte-to-unicode alphabet
  std::vector<float> scores;        ///< SPM only
  std::vector<TokenType> types;
  std::vector<std::string> merges;  ///< BPE only, "left right" in rank order
  std::optional<TokenId> bos, eos, unk, sep, pad, cls, mask;
  std::optional<bool> add_bos, add_eos, add_space_prefix;
  std::string chat_template;  ///< empty if none
};

/// BOS stands in front of a text: the flag says so, or where there is none the kind of the vocabulary.
bool adds_bos(const Vocabulary& vocabulary) noexcept;

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  const Vocabulary& vocabulary() const noexcept { return vocabulary_; }
  /// Ids of `text`. Special (control) tokens in the text are not parsed; user-defined ones are.
  /// No BOS or EOS is added.
  virtual std::vector<TokenId> encode(std::string_view text) const = 0;
  /// Bytes of the ids (control tokens give nothing).
  virtual std::string decode(const std::vector<TokenId>& ids) const = 0;
  bool adds_bos() const noexcept { return llmq::adds_bos(vocabulary_); }
  /// SHA-256 over all vocabulary content.
  std::string content_hash() const;

 protected:
  explicit Tokenizer(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {}
  Vocabulary vocabulary_;
};

/// @param vocab_size rows of the embedding: the token list is padded up to it.
/// @throws Error(model_not_found) without tokenizer files, FormatError(validation),
/// Error(unsupported_conversion).
Vocabulary read_vocabulary(const std::filesystem::path& model_directory, std::uint32_t vocab_size);
Vocabulary vocabulary_from_gguf(const GgufMetadata& metadata);
/// Adds tokenizer.ggml.* and tokenizer.chat_template keys.
void write_vocabulary(const Vocabulary& vocabulary, GgufMetadata& metadata);
std::unique_ptr<Tokenizer> make_tokenizer(Vocabulary vocabulary);

}  // namespace llmq
