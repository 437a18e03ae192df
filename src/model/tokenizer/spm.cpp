// SentencePiece-like merging as GGUF runtimes do it: no normalisation, spaces become U+2581, neighbours merge
// while their concatenation is a token, the best score first; what is left becomes byte tokens.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <unordered_map>

#include <fmt/format.h>

#include "model/tokenizer/algorithms.hpp"
#include "model/tokenizer/merge_chain.hpp"

namespace llmq {
namespace {

constexpr std::string_view kSpace = "\xE2\x96\x81";  // U+2581

class SpmTokenizer final : public Tokenizer {
 public:
  explicit SpmTokenizer(Vocabulary vocabulary) : Tokenizer(std::move(vocabulary)) {
    for (std::size_t id = 0; id < vocabulary_.tokens.size(); ++id) {
      ids_.try_emplace(vocabulary_.tokens[id], static_cast<TokenId>(id));
    }
    for (unsigned byte = 0; byte < 256; ++byte) {
      const auto found = ids_.find(fmt::format("<0x{:02X}>", byte));
      bytes_[byte] = found == ids_.end() ? vocabulary_.unk.value_or(0) : found->second;
    }
  }

  std::vector<TokenId> encode(std::string_view text) const override {
    std::vector<TokenId> ids;
    bool at_start = true;  // of the text, or right behind a special token
    for (const Fragment& fragment : user_defined_.split(text)) {
      if (fragment.token >= 0) {
        ids.push_back(fragment.token);
        at_start = true;
        continue;
      }
      std::string escaped;
      if (at_start && vocabulary_.add_space_prefix.value_or(true)) escaped += kSpace;
      for (const char c : fragment.text) {
        if (c == ' ')
          escaped += kSpace;
        else
          escaped += c;
      }
      encode_fragment(escaped, ids);
      at_start = false;
    }
    return ids;
  }

  std::string decode(const std::vector<TokenId>& ids) const override {
    std::string text;
    for (const TokenId id : ids) {
      if (id < 0 || static_cast<std::size_t>(id) >= vocabulary_.tokens.size()) continue;
      const std::string& token = vocabulary_.tokens[static_cast<std::size_t>(id)];
      switch (vocabulary_.types[static_cast<std::size_t>(id)]) {
        case TokenType::control:
        case TokenType::unused:
          break;
        case TokenType::byte:
          text += static_cast<char>(std::stoi(token.substr(3, 2), nullptr, 16));
          break;
        default:
          append_unescaped(token, text);
      }
    }
    return text;
  }

 private:
  static void append_unescaped(std::string_view token, std::string& text) {
    for (std::size_t at = 0; at < token.size();) {
      if (token.substr(at).starts_with(kSpace)) {
        text += ' ';
        at += kSpace.size();
      } else {
        text += token[at++];
      }
    }
  }

  void encode_fragment(std::string_view text, std::vector<TokenId>& ids) const {
    std::vector<Symbol> symbols;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t length = std::min(utf8_length(text[at]), text.size() - at);
      symbols.push_back({at, length, -1, -1});
      at += length;
    }
    merge_symbols(text, symbols, [&](std::string_view left, std::string_view right, float& priority) {
      // The two stand side by side in the text.
      const auto found = ids_.find(std::string_view(left.data(), left.size() + right.size()));
      if (found == ids_.end()) return false;
      priority = vocabulary_.scores[static_cast<std::size_t>(found->second)];
      return true;
    });
    for (const Symbol& symbol : symbols) {
      if (symbol.length == 0) continue;
      const std::string_view piece = text.substr(symbol.begin, symbol.length);
      if (const auto found = ids_.find(piece); found != ids_.end()) {
        ids.push_back(found->second);
      } else {
        for (const char c : piece) ids.push_back(bytes_[static_cast<unsigned char>(c)]);
      }
    }
  }

  UserDefinedTokens user_defined_{vocabulary_};
  std::unordered_map<std::string_view, TokenId> ids_;
  std::array<TokenId, 256> bytes_{};
};

}  // namespace

std::unique_ptr<Tokenizer> make_spm_tokenizer(Vocabulary vocabulary) {
  return std::make_unique<SpmTokenizer>(std::move(vocabulary));
}

}  // namespace llmq
