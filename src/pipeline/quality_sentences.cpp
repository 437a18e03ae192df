#include "pipeline/quality_sentences.hpp"

#include <algorithm>
#include <string_view>

namespace llmq {
namespace {

constexpr std::size_t kTokensBefore = 32;

bool ends_sentence(std::string_view text) {
  if (text.find('\n') != std::string_view::npos) return true;
  const auto last = text.find_last_not_of(" \"')");
  return last != std::string_view::npos && std::string_view(".!?").find(text[last]) != std::string_view::npos;
}

/// What `token` adds behind `previous`: some tokenizers drop the space in front of the first token of a text.
std::string text_behind(const Tokenizer& tokenizer, TokenId previous, TokenId token) {
  const std::string before = tokenizer.decode({previous});
  const std::string both = tokenizer.decode({previous, token});
  return both.starts_with(before) ? both.substr(before.size()) : tokenizer.decode({token});
}

}  // namespace

std::vector<std::uint8_t> sentence_ends(const Tokenizer& tokenizer) {
  std::vector<std::uint8_t> ends(tokenizer.vocabulary().tokens.size(), 0);
  for (std::size_t id = 0; id < ends.size(); ++id)
    ends[id] = ends_sentence(tokenizer.decode({static_cast<TokenId>(id)})) ? 1 : 0;
  return ends;
}

std::vector<SentenceReport> describe_sentences(const Tokenizer& tokenizer, const SampleSet& samples,
                                               const WorstSentences& worst) {
  std::vector<SentenceReport> reports;
  for (const Sentence& sentence : worst.sentences()) {
    const std::vector<TokenId>& tokens = samples.samples.at(sentence.sample);
    const auto place = [&](std::size_t index) { return tokens.begin() + static_cast<std::ptrdiff_t>(index); };
    const std::size_t first = sentence.begin - std::min<std::size_t>(kTokensBefore, sentence.begin);
    SentenceReport report{sentence.sample, sentence.begin, sentence.kld,
                          tokenizer.decode({place(first), place(sentence.begin)}),
                          {}};
    for (std::size_t i = 0; i < sentence.count; ++i) {
      const TokenDeparture& token = sentence.tokens[i];
      const std::size_t index = sentence.begin + i;
      const auto text = [&](TokenId id) { return text_behind(tokenizer, tokens[index - 1], id); };
      report.tokens.push_back({text(tokens[index]), static_cast<double>(token.kld),
                               static_cast<double>(token.p_original), static_cast<double>(token.p_quantized),
                               text(token.top_original), text(token.top_quantized)});
    }
    reports.push_back(std::move(report));
  }
  return reports;
}

}  // namespace llmq
