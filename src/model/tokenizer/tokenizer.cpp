#include "llmq/model/tokenizer.hpp"

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/hash.hpp"

#include "model/tokenizer/algorithms.hpp"

namespace llmq {

bool adds_bos(const Vocabulary& vocabulary) noexcept {
  if (!vocabulary.bos) return false;
  if (vocabulary.add_bos) return *vocabulary.add_bos;
  if (vocabulary.model == "llama") return true;
  const PreTokenizer* pre = find_pre_tokenizer(vocabulary.pre);
  return pre != nullptr && pre->adds_bos;
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

}  // namespace llmq
