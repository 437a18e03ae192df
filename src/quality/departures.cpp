#include "llmq/quality/departures.hpp"

#include <algorithm>
#include <cmath>
#include <tuple>

namespace llmq {
namespace {

bool stands_before(const Sentence& a, const Sentence& b) {
  return std::tuple(-a.kld, a.sample, a.begin) < std::tuple(-b.kld, b.sample, b.begin);
}

Sentence make_sentence(std::uint64_t sample, const SentenceRange& range,
                       std::span<const PositionScore> scores) {
  Sentence sentence;
  sentence.sample = sample;
  sentence.begin = range.begin;
  sentence.count = range.end - range.begin;
  for (std::size_t i = 0; i < sentence.count; ++i) {
    const PositionScore& score = scores[i];
    sentence.kld += score.kld / static_cast<double>(sentence.count);
    sentence.tokens[i] = {static_cast<float>(score.kld), static_cast<float>(std::exp(-score.nll_original)),
                          static_cast<float>(std::exp(-score.nll_quantized)), score.top_original,
                          score.top_quantized};
  }
  return sentence;
}

}  // namespace

std::vector<SentenceRange> split_sentences(std::span<const std::int32_t> tokens, std::size_t first,
                                           std::size_t last, std::span<const std::uint8_t> ends) {
  std::vector<SentenceRange> sentences;
  std::size_t begin = first;
  for (std::size_t i = first; i < last; ++i) {
    const bool complete = ends[static_cast<std::size_t>(tokens[i])] != 0 || i + 1 == last;
    if (!complete && i + 1 - begin < kMostSentenceTokens) continue;
    if (i + 1 - begin >= kFewestSentenceTokens) sentences.push_back({begin, i + 1});
    begin = i + 1;
  }
  return sentences;
}

void WorstSentences::add(const Sentence& sentence) {
  const auto place = std::upper_bound(sentences_.begin(), sentences_.end(), sentence, stands_before);
  if (place == sentences_.end() && sentences_.size() == kKeptSentences) return;
  sentences_.insert(place, sentence);
  if (sentences_.size() > kKeptSentences) sentences_.pop_back();
}

void WorstSentences::add_sample(std::uint64_t sample, std::span<const std::int32_t> tokens, std::size_t first,
                                std::span<const PositionScore> scores, std::span<const std::uint8_t> ends) {
  const std::size_t predicted = first + 1;
  for (const SentenceRange& range : split_sentences(tokens, predicted, predicted + scores.size(), ends))
    add(make_sentence(sample, range, scores.subspan(range.begin - predicted, range.end - range.begin)));
}

}  // namespace llmq
