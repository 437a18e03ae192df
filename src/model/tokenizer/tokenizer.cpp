#include "llmq/model/tokenizer.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/hash.hpp"

#include "model/tokenizer/algorithms.hpp"

namespace llmq {

bool Tokenizer::adds_bos() const noexcept {
  if (vocabulary_.add_bos) return *vocabulary_.add_bos && vocabulary_.bos.has_value();
  const bool by_kind = vocabulary_.model == "llama" || vocabulary_.pre == "llama-bpe" ||
                       vocabulary_.pre == "tekken" || vocabulary_.pre == "chameleon";
  return by_kind && vocabulary_.bos.has_value();
}

std::string Tokenizer::content_hash() const {
  Sha256 hash;
  hash.field(vocabulary_.model).field(vocabulary_.pre).field(std::uint64_t{vocabulary_.tokens.size()});
  for (const std::string& token : vocabulary_.tokens) hash.field(token);
  hash.update(std::as_bytes(std::span(vocabulary_.scores)));
  hash.update(std::as_bytes(std::span(vocabulary_.types)));
  for (const std::string& merge : vocabulary_.merges) hash.field(merge);
  for (const auto& id : {vocabulary_.bos, vocabulary_.eos, vocabulary_.unk}) {
    hash.field(static_cast<std::uint64_t>(static_cast<std::int64_t>(id.value_or(-1))));
  }
  hash.field(adds_bos() ? 1u : 0u);
  return hash.hex();
}

std::unique_ptr<Tokenizer> make_tokenizer(Vocabulary vocabulary) {
  if (vocabulary.tokens.empty()) throw Error(ExitCode::validation, "the tokenizer has no tokens");
  if (vocabulary.model == "llama") return make_spm_tokenizer(std::move(vocabulary));
  if (vocabulary.model == "gpt2") return make_bpe_tokenizer(std::move(vocabulary));
  throw Error(ExitCode::unsupported_conversion,
              fmt::format("tokenizer model \"{}\" is not supported", vocabulary.model),
              "Supported: SentencePiece BPE and byte-level BPE");
}

std::vector<Fragment> split_user_defined(std::string_view text, const Vocabulary& vocabulary) {
  std::vector<TokenId> special;
  for (std::size_t id = 0; id < vocabulary.types.size(); ++id) {
    if (vocabulary.types[id] == TokenType::user_defined && !vocabulary.tokens[id].empty()) {
      special.push_back(static_cast<TokenId>(id));
    }
  }
  const auto token_text = [&](TokenId id) {
    return std::string_view(vocabulary.tokens[static_cast<std::size_t>(id)]);
  };
  std::stable_sort(special.begin(), special.end(),
                   [&](TokenId a, TokenId b) { return token_text(a).size() > token_text(b).size(); });
  std::vector<Fragment> fragments;
  if (!text.empty()) fragments.push_back({text, -1});
  for (const TokenId id : special) {
    const std::string_view wanted = token_text(id);
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
