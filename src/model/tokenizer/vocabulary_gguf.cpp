// tokenizer.ggml.* keys, both ways.
// SPDX-License-Identifier: Apache-2.0
#include <array>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/formats/gguf.hpp"
#include "llmq/model/tokenizer.hpp"

namespace llmq {
namespace {

struct IdKey {
  const char* key;
  std::optional<TokenId> Vocabulary::*id;
};
// The spelling "seperator" is the format's.
constexpr std::array<IdKey, 7> kIdKeys = {{{"tokenizer.ggml.bos_token_id", &Vocabulary::bos},
                                           {"tokenizer.ggml.eos_token_id", &Vocabulary::eos},
                                           {"tokenizer.ggml.unknown_token_id", &Vocabulary::unk},
                                           {"tokenizer.ggml.seperator_token_id", &Vocabulary::sep},
                                           {"tokenizer.ggml.padding_token_id", &Vocabulary::pad},
                                           {"tokenizer.ggml.cls_token_id", &Vocabulary::cls},
                                           {"tokenizer.ggml.mask_token_id", &Vocabulary::mask}}};

}  // namespace

void write_vocabulary(const Vocabulary& vocabulary, GgufMetadata& metadata) {
  metadata.set("tokenizer.ggml.model", vocabulary.model);
  metadata.set("tokenizer.ggml.pre", vocabulary.pre);
  metadata.set("tokenizer.ggml.tokens", GgufArray(vocabulary.tokens));
  if (!vocabulary.scores.empty()) metadata.set("tokenizer.ggml.scores", GgufArray(vocabulary.scores));
  std::vector<std::int32_t> types;
  for (const TokenType type : vocabulary.types) types.push_back(static_cast<std::int32_t>(type));
  metadata.set("tokenizer.ggml.token_type", GgufArray(types));
  if (!vocabulary.merges.empty()) metadata.set("tokenizer.ggml.merges", GgufArray(vocabulary.merges));
  for (const IdKey& row : kIdKeys) {
    if (const auto& id = vocabulary.*row.id) metadata.set(row.key, static_cast<std::uint32_t>(*id));
  }
  if (vocabulary.add_bos) metadata.set("tokenizer.ggml.add_bos_token", *vocabulary.add_bos);
  if (vocabulary.add_eos) metadata.set("tokenizer.ggml.add_eos_token", *vocabulary.add_eos);
  if (vocabulary.add_space_prefix)
    metadata.set("tokenizer.ggml.add_space_prefix", *vocabulary.add_space_prefix);
  if (!vocabulary.chat_template.empty()) metadata.set("tokenizer.chat_template", vocabulary.chat_template);
}

Vocabulary vocabulary_from_gguf(const GgufMetadata& metadata) {
  Vocabulary vocabulary;
  vocabulary.model = metadata.string("tokenizer.ggml.model").value_or("");
  vocabulary.pre = metadata.string("tokenizer.ggml.pre").value_or("default");
  const auto* tokens = metadata.strings("tokenizer.ggml.tokens");
  if (tokens == nullptr || tokens->empty())
    throw Error(ExitCode::validation, "GGUF file has no tokenizer.ggml.tokens");
  vocabulary.tokens = *tokens;
  if (const auto* scores = metadata.floats("tokenizer.ggml.scores")) vocabulary.scores = *scores;
  if (const auto* merges = metadata.strings("tokenizer.ggml.merges")) vocabulary.merges = *merges;
  const auto* types = metadata.ints("tokenizer.ggml.token_type");
  if (types != nullptr && types->size() != tokens->size()) {
    throw Error(ExitCode::validation, "GGUF tokenizer: token_type and tokens have different lengths");
  }
  for (std::size_t id = 0; id < tokens->size(); ++id) {
    const std::int32_t type = types == nullptr ? 1 : (*types)[id];
    vocabulary.types.push_back(type >= 0 && type <= 6 ? static_cast<TokenType>(type) : TokenType::undefined);
  }
  const bool spm = vocabulary.model == "llama";
  if (spm && vocabulary.scores.size() != tokens->size()) {
    throw Error(ExitCode::validation, "GGUF tokenizer: scores and tokens have different lengths");
  }
  for (const IdKey& row : kIdKeys) {
    const auto id = metadata.integer(row.key);
    if (id && *id >= 0 && static_cast<std::uint64_t>(*id) < tokens->size())
      vocabulary.*row.id = static_cast<TokenId>(*id);
  }
  if (spm && !vocabulary.bos && tokens->size() > 2) vocabulary.bos = 1;
  if (spm && !vocabulary.eos && tokens->size() > 2) vocabulary.eos = 2;
  vocabulary.add_bos = metadata.boolean("tokenizer.ggml.add_bos_token");
  vocabulary.add_eos = metadata.boolean("tokenizer.ggml.add_eos_token");
  vocabulary.add_space_prefix = metadata.boolean("tokenizer.ggml.add_space_prefix");
  vocabulary.chat_template = metadata.string("tokenizer.chat_template").value_or("");
  return vocabulary;
}

}  // namespace llmq
