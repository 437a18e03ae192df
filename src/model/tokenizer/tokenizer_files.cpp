// Tokenizer files of a directory from what a GGUF file says: a SentencePiece model or tokenizer.json, the
// small files beside it, and the proof that reading them gives the vocabulary back. SPDX-License-Identifier:
// Apache-2.0
#include <bit>
#include <cstdint>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/model/hf_files.hpp"

#include "model/tokenizer/algorithms.hpp"
#include "model/tokenizer/tokenizer_json.hpp"

namespace llmq {
namespace {

using Json = nlohmann::ordered_json;

/// A message in the encoding of protocol buffers.
class Message {
 public:
  void number(std::uint32_t field, std::uint64_t value) {
    varint(field << 3);
    varint(value);
  }
  void real(std::uint32_t field, float value) {
    varint(field << 3 | 5);
    auto bits = std::bit_cast<std::uint32_t>(value);
    for (int i = 0; i < 4; ++i, bits >>= 8) bytes_ += static_cast<char>(bits & 0xFF);
  }
  void text(std::uint32_t field, std::string_view value) {
    varint(field << 3 | 2);
    varint(value.size());
    bytes_ += value;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>((value & 0x7F) | 0x80);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

/// Type of a piece: its numbers are those of GGUF, but for what has no type.
std::uint64_t piece_type(TokenType type) {
  return static_cast<std::uint64_t>(type == TokenType::undefined ? TokenType::normal : type);
}

/// "none" is a negative number, as the format has it for ids.
std::uint64_t id_or_none(const std::optional<TokenId>& id) {
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(id.value_or(-1)));
}

/// Fields and numbers: sentencepiece_model.proto of SentencePiece.
std::string sentencepiece_model(const Vocabulary& vocabulary) {
  Message model, trainer, normalizer;
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    Message piece;
    piece.text(1, vocabulary.tokens[id]);
    piece.real(2, vocabulary.scores[id]);
    piece.number(3, piece_type(vocabulary.types[id]));
    model.text(1, piece.bytes());
  }
  bool has_bytes = false;
  for (const TokenType type : vocabulary.types) has_bytes = has_bytes || type == TokenType::byte;
  const auto piece_of = [&](const std::optional<TokenId>& id, std::uint32_t field) {
    if (id) trainer.text(field, vocabulary.tokens[static_cast<std::size_t>(*id)]);
  };
  trainer.number(3, 2);  // BPE
  trainer.number(4, vocabulary.tokens.size());
  trainer.number(35, has_bytes ? 1 : 0);
  trainer.number(40, id_or_none(vocabulary.unk));
  trainer.number(41, id_or_none(vocabulary.bos));
  trainer.number(42, id_or_none(vocabulary.eos));
  trainer.number(43, id_or_none(vocabulary.pad));
  piece_of(vocabulary.unk, 45);
  piece_of(vocabulary.bos, 46);
  piece_of(vocabulary.eos, 47);
  piece_of(vocabulary.pad, 48);
  normalizer.text(1, "identity");
  normalizer.number(3, vocabulary.add_space_prefix.value_or(true) ? 1 : 0);
  normalizer.number(4, 0);
  normalizer.number(5, 1);
  model.text(2, trainer.bytes());
  model.text(3, normalizer.bytes());
  return model.bytes();
}

/// Tokens that SentencePiece models hold as ordinary ones; with byte-level BPE all that text is searched for.
Json added_tokens(const Vocabulary& vocabulary) {
  Json added = Json::object();
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const bool special = vocabulary.types[id] == TokenType::control && vocabulary.model == "gpt2";
    if (vocabulary.types[id] != TokenType::user_defined && !special) continue;
    added[std::to_string(id)] = {{"content", vocabulary.tokens[id]},
                                 {"lstrip", false},
                                 {"normalized", false},
                                 {"rstrip", false},
                                 {"single_word", false},
                                 {"special", special}};
  }
  return added;
}

std::string tokenizer_class(const ModelSpec& spec, const Vocabulary& vocabulary) {
  if (spec.architecture.starts_with("gemma")) return "GemmaTokenizer";
  return vocabulary.model == "llama" ? "LlamaTokenizer" : "PreTrainedTokenizerFast";
}

/// What no tokenizer.json can be made of.
std::string unwritable(const Vocabulary& vocabulary) {
  if (vocabulary.model != "gpt2") return {};
  if (find_pre_tokenizer(vocabulary.pre) == nullptr)
    return fmt::format("the expressions of the pre-tokenizer \"{}\"", vocabulary.pre);
  const std::string merge = unusable_merge(vocabulary);
  return merge.empty() ? "" : fmt::format("tokens of the merge \"{}\"", merge);
}

/// @param named_pre  says which pre-tokenizer it is, for the tokenizer.json beside it
std::string tokenizer_config(const ModelSpec& spec, const Vocabulary& vocabulary, bool named_pre) {
  Json config = {{"tokenizer_class", tokenizer_class(spec, vocabulary)}};
  const auto set = [&](const char* key, const auto& value) {
    if (value) config[key] = *value;
  };
  const auto set_token = [&](const char* key, const std::optional<TokenId>& id) {
    if (id) config[key] = vocabulary.tokens[static_cast<std::size_t>(*id)];
  };
  set("add_bos_token", vocabulary.add_bos);
  set("add_eos_token", vocabulary.add_eos);
  set("add_prefix_space", vocabulary.add_space_prefix);
  set_token("bos_token", vocabulary.bos);
  set_token("eos_token", vocabulary.eos);
  set_token("unk_token", vocabulary.unk);
  set_token("sep_token", vocabulary.sep);
  set_token("pad_token", vocabulary.pad);
  set_token("cls_token", vocabulary.cls);
  set_token("mask_token", vocabulary.mask);
  if (const Json added = added_tokens(vocabulary); !added.empty()) config["added_tokens_decoder"] = added;
  if (!vocabulary.chat_template.empty()) config["chat_template"] = vocabulary.chat_template;
  config["model_max_length"] = spec.context_length;
  config["clean_up_tokenization_spaces"] = false;
  if (vocabulary.model == "llama") config["legacy"] = false;
  if (named_pre) config[kPreTokenizerMember] = vocabulary.pre;
  return config.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string first_token_difference(const Vocabulary& made, const Vocabulary& wanted) {
  if (made.tokens.size() != wanted.tokens.size())
    return fmt::format("{} tokens instead of {}", made.tokens.size(), wanted.tokens.size());
  const bool scored = wanted.model == "llama";
  for (std::size_t id = 0; id < wanted.tokens.size(); ++id) {
    const char* what = made.tokens[id] != wanted.tokens[id]                         ? "text"
                       : piece_type(made.types[id]) != piece_type(wanted.types[id]) ? "type"
                       : scored && made.scores[id] != wanted.scores[id]             ? "score"
                                                                                    : nullptr;
    if (what != nullptr) return fmt::format("the {} of token {}", what, id);
  }
  return {};
}

/// With byte-level BPE no runtime looks at the flag of a space in front.
std::string first_difference(const Vocabulary& made, const Vocabulary& wanted) {
  if (made.model != wanted.model) return fmt::format("a tokenizer model \"{}\"", wanted.model);
  const bool bytes = wanted.model == "gpt2";
  if (bytes && made.pre != wanted.pre) return fmt::format("the pre-tokenizer \"{}\"", wanted.pre);
  if (std::string tokens = first_token_difference(made, wanted); !tokens.empty()) return tokens;
  if (made.merges != wanted.merges) return "the merges";
  if (made.bos != wanted.bos || made.eos != wanted.eos || made.unk != wanted.unk || made.pad != wanted.pad ||
      made.sep != wanted.sep || made.cls != wanted.cls || made.mask != wanted.mask)
    return "special tokens";
  if (made.add_bos != wanted.add_bos || made.add_eos != wanted.add_eos ||
      (!bytes && made.add_space_prefix != wanted.add_space_prefix))
    return "flags";
  return made.chat_template == wanted.chat_template ? "" : "the chat template";
}

}  // namespace

NamedTexts tokenizer_files(const ModelSpec& spec, const Vocabulary& vocabulary) {
  const bool json = vocabulary.model == "gpt2" && unwritable(vocabulary).empty();
  NamedTexts files = {{"tokenizer_config.json", tokenizer_config(spec, vocabulary, json)}};
  Json generation = Json::object();
  if (vocabulary.bos) generation["bos_token_id"] = *vocabulary.bos;
  if (vocabulary.eos) generation["eos_token_id"] = *vocabulary.eos;
  if (vocabulary.pad) generation["pad_token_id"] = *vocabulary.pad;
  if (!generation.empty()) files.emplace_back("generation_config.json", generation.dump(2) + "\n");
  if (vocabulary.model == "llama") files.emplace_back("tokenizer.model", sentencepiece_model(vocabulary));
  if (json) files.emplace_back("tokenizer.json", tokenizer_json_text(vocabulary));
  return files;
}

std::string tokenizer_difference(const std::filesystem::path& directory, const Vocabulary& vocabulary) {
  const auto count = static_cast<std::uint32_t>(vocabulary.tokens.size());
  if (std::string lacking = unwritable(vocabulary); !lacking.empty()) return lacking;
  try {
    return first_difference(read_vocabulary(directory, count), vocabulary);
  } catch (const Error& error) {
    return error.what();
  }
}

void remove_tokenizer(const std::filesystem::path& directory) {
  for (const char* name : {"tokenizer.model", "tokenizer.json"}) std::filesystem::remove(directory / name);
  const std::filesystem::path path = directory / "tokenizer_config.json";
  auto config = Json::parse(read_file(path, std::uint64_t{64} << 20, 1));
  config.erase(kPreTokenizerMember);
  write_file_atomically(path, config.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace llmq
