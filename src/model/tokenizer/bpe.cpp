// Byte-level BPE: text is cut into words by the pre-tokenizer's regular expressions, the bytes of a word
// become characters of a printable alphabet, and neighbours merge by rank. SPDX-License-Identifier:
// Apache-2.0
#include <memory>
#include <unordered_map>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"

#include "model/tokenizer/algorithms.hpp"
#include "model/tokenizer/merge_chain.hpp"
#include "model/tokenizer/split_pattern.hpp"

namespace llmq {
namespace {

constexpr std::size_t kMaxCachedWords = 1 << 18;

/// Each byte that is not part of well-formed UTF-8 becomes U+FFFD, as lenient readers do.
std::string make_valid_utf8(std::string_view text) {
  std::string valid;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = std::min(utf8_length(text[at]), text.size() - at);
    if (is_valid_utf8(text.substr(at, length))) {
      valid += text.substr(at, length);
      at += length;
    } else {
      valid += "\xEF\xBF\xBD";
      ++at;
    }
  }
  return valid;
}

class BpeTokenizer final : public Tokenizer {
 public:
  explicit BpeTokenizer(Vocabulary vocabulary) : Tokenizer(std::move(vocabulary)) {
    const PreTokenizer* pre = find_pre_tokenizer(vocabulary_.pre);
    if (pre == nullptr) {
      throw Error(ExitCode::unsupported_conversion,
                  fmt::format("pre-tokenizer \"{}\" is not supported", vocabulary_.pre));
    }
    ignore_merges_ = pre->ignore_merges;
    for (const std::string& pattern : pre->patterns) patterns_.emplace_back(pattern);
    for (std::size_t id = 0; id < vocabulary_.tokens.size(); ++id) {
      ids_.try_emplace(vocabulary_.tokens[id], static_cast<TokenId>(id));
    }
    for (std::size_t rank = 0; rank < vocabulary_.merges.size(); ++rank) {
      ranks_.try_emplace(vocabulary_.merges[rank], static_cast<float>(rank));
    }
  }

  std::vector<TokenId> encode(std::string_view text) const override {
    std::string repaired;
    if (!is_valid_utf8(text)) {
      repaired = make_valid_utf8(text);
      text = repaired;
    }
    std::vector<TokenId> ids;
    std::unordered_map<std::string_view, std::vector<TokenId>> cache;
    for (const Fragment& fragment : user_defined_.split(text)) {
      if (fragment.token >= 0) {
        ids.push_back(fragment.token);
        continue;
      }
      for (const std::string_view word : split_words(fragment.text)) {
        auto found = cache.find(word);
        if (found == cache.end()) {
          if (cache.size() >= kMaxCachedWords) cache.clear();
          found = cache.emplace(word, encode_word(word)).first;
        }
        ids.insert(ids.end(), found->second.begin(), found->second.end());
      }
    }
    return ids;
  }

  std::string decode(const std::vector<TokenId>& ids) const override {
    std::string text;
    for (const TokenId id : ids) {
      if (id < 0 || static_cast<std::size_t>(id) >= vocabulary_.tokens.size()) continue;
      const TokenType type = vocabulary_.types[static_cast<std::size_t>(id)];
      if (type == TokenType::control || type == TokenType::unused) continue;
      const std::string& token = vocabulary_.tokens[static_cast<std::size_t>(id)];
      text += type == TokenType::user_defined ? token : from_byte_alphabet(token);
    }
    return text;
  }

 private:
  std::vector<std::string_view> split_words(std::string_view text) const {
    std::vector<std::string_view> pieces = {text};
    for (const SplitPattern& pattern : patterns_) {
      std::vector<std::string_view> finer;
      for (const std::string_view piece : pieces) pattern.split(piece, finer);
      pieces = std::move(finer);
    }
    return pieces;
  }

  std::vector<TokenId> encode_word(std::string_view word) const {
    std::string text;
    std::vector<Symbol> symbols;
    for (const char c : word) {
      const std::string& character = byte_alphabet()[static_cast<unsigned char>(c)];
      symbols.push_back({text.size(), character.size(), -1, -1});
      text += character;
    }
    std::vector<TokenId> ids;
    if (ignore_merges_) {
      if (const auto whole = ids_.find(text); whole != ids_.end()) return {whole->second};
    }
    std::string key;
    merge_symbols(text, symbols, [&](std::string_view left, std::string_view right, float& priority) {
      key.assign(left).append(" ").append(right);
      const auto found = ranks_.find(key);
      if (found == ranks_.end()) return false;
      priority = -found->second;
      return true;
    });
    for (const Symbol& symbol : symbols) {
      if (symbol.length == 0) continue;
      const std::string_view piece = std::string_view(text).substr(symbol.begin, symbol.length);
      if (const auto found = ids_.find(piece); found != ids_.end()) {
        ids.push_back(found->second);
        continue;
      }
      for (std::size_t at = 0; at < piece.size(); at += utf8_length(piece[at])) {
        const auto byte = ids_.find(piece.substr(at, utf8_length(piece[at])));
        if (byte != ids_.end()) ids.push_back(byte->second);
      }
    }
    return ids;
  }

  UserDefinedTokens user_defined_{vocabulary_};
  std::vector<SplitPattern> patterns_;
  bool ignore_merges_ = false;
  std::unordered_map<std::string_view, TokenId> ids_;
  std::unordered_map<std::string_view, float> ranks_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_bpe_tokenizer(Vocabulary vocabulary) {
  return std::make_unique<BpeTokenizer>(std::move(vocabulary));
}

}  // namespace llmq
