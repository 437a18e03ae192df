// The sentences where a quantized model departs most from its original: a bounded list that may be filled in
// any order. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "llmq/quality/scores.hpp"

namespace llmq {

/// How many sentences are kept, and what counts as one: shorter ones say little, longer ones are cut.
inline constexpr std::size_t kKeptSentences = 12;
inline constexpr std::size_t kFewestSentenceTokens = 5;
inline constexpr std::size_t kMostSentenceTokens = 48;

/// Tokens [begin, end) of a sample.
struct SentenceRange {
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// The sentences of the tokens [first, last) of a sample. @param ends  by token id: 1 for one that ends a
/// sentence
std::vector<SentenceRange> split_sentences(std::span<const std::int32_t> tokens, std::size_t first,
                                           std::size_t last, std::span<const std::uint8_t> ends);

/// What both models said of one token of a sentence, before they saw it.
struct TokenDeparture {
  float kld = 0;
  float p_original = 0, p_quantized = 0;  ///< of the token
  std::int32_t top_original = 0, top_quantized = 0;
};

/// Plain data: gathered between ranks as bytes.
struct Sentence {
  std::uint64_t sample = 0;
  std::uint64_t begin = 0;  ///< its first token in the sample
  std::uint64_t count = 0;  ///< tokens
  double kld = 0;           ///< mean over its tokens
  TokenDeparture tokens[kMostSentenceTokens] = {};

  std::span<const TokenDeparture> all() const noexcept { return {tokens, count}; }
};

/// The kKeptSentences with the largest mean divergence, that one first; equal ones by their place in the
/// text.
class WorstSentences {
 public:
  void add(const Sentence& sentence);
  /// The sentences of a sample whose scored positions begin at `first` (it predicts token first + 1).
  void add_sample(std::uint64_t sample, std::span<const std::int32_t> tokens, std::size_t first,
                  std::span<const PositionScore> scores, std::span<const std::uint8_t> ends);
  std::span<const Sentence> sentences() const noexcept { return sentences_; }

 private:
  std::vector<Sentence> sentences_;
};

}  // namespace llmq
