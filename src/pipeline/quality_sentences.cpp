#include "pipeline/quality_sentences.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "llmq/core/text.hpp"

namespace llmq {
namespace {

constexpr std::size_t kTokensBefore = 32;

bool ends_sentence(std::string_view text) {
  if (text.find('\n') != std::string_view::npos) return true;
  const auto last = text.find_last_not_of(" \"')");
  return last != std::string_view::npos && std::string_view(".!?").find(text[last]) != std::string_view::npos;
}

bool begins_long_character(char c) { return static_cast<unsigned char>(c) >= 0xC0; }

/// Readable by itself: bytes that make up no character as "<E4>".
std::string readable(const std::string& text) {
  if (is_valid_utf8(text)) return text;
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at + 1;
    while (end < text.size() && continues_character(text[end])) ++end;
    const std::string character = text.substr(at, end - at);
    if (is_valid_utf8(character)) {
      out += character;
    } else {
      for (const char c : character) out += fmt::format("<{:02X}>", static_cast<unsigned char>(c));
    }
    at = end;
  }
  return out;
}

/// Without the rest of a character that begins before the text.
std::string from_whole_character(const std::string& text) {
  std::size_t from = 0;
  while (from < text.size() && continues_character(text[from])) ++from;
  return text.substr(from);
}

/// Adds a token; one that goes on with a character is joined to the tokens before it, the worst of which
/// speaks for all.
void append(std::vector<SentenceToken>& tokens, SentenceToken token) {
  const bool goes_on = !tokens.empty() && !tokens.back().text.empty() && !token.text.empty() &&
                       !is_valid_utf8(tokens.back().text) &&
                       begins_long_character(tokens.back().text.front()) &&
                       continues_character(token.text.front());
  if (goes_on) {
    token.text.insert(0, tokens.back().text);
    if (tokens.back().kld > token.kld) {
      token.kld = tokens.back().kld;
      token.top_original = tokens.back().top_original;
      token.top_quantized = tokens.back().top_quantized;
    }
    token.p_original *= tokens.back().p_original;
    token.p_quantized *= tokens.back().p_quantized;
    tokens.back() = std::move(token);
    return;
  }
  tokens.push_back(std::move(token));
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
    SentenceReport report{sentence.sample,
                          sentence.begin,
                          sentence.kld,
                          from_whole_character(tokenizer.decode({place(first), place(sentence.begin)})),
                          {}};
    for (std::size_t i = 0; i < sentence.count; ++i) {
      const TokenDeparture& token = sentence.tokens[i];
      const std::size_t index = sentence.begin + i;
      const auto text = [&](TokenId id) { return text_behind(tokenizer, tokens[index - 1], id); };
      append(report.tokens, {text(tokens[index]), static_cast<double>(token.kld),
                             static_cast<double>(token.p_original), static_cast<double>(token.p_quantized),
                             readable(text(token.top_original)), readable(text(token.top_quantized))});
    }
    for (SentenceToken& token : report.tokens) token.text = readable(token.text);
    report.before = readable(report.before);
    reports.push_back(std::move(report));
  }
  return reports;
}

}  // namespace llmq
