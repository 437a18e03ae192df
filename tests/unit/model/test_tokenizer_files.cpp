// Files of byte-level tokenizers written from a vocabulary and read again: nothing changes, for every
// pre-tokenizer of the table; and what readers other than ours find in them.
#include <algorithm>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "llmq/core/file.hpp"
#include "llmq/model/hf_files.hpp"

#include "model/tokenizer/algorithms.hpp"
#include "support/scratch.hpp"

namespace {
using namespace llmq;
namespace fs = std::filesystem;
using testing_support::ScratchDirectory;

fs::path tokenizers() { return fs::path(LLMQ_TEST_DATA) / "tokenizers"; }

std::vector<std::string> mixed_lines() {
  std::istringstream text(read_file(tokenizers() / "mixed/text.txt", 1 << 20));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

ModelSpec some_model() {
  ModelSpec spec;
  spec.architecture = "qwen2";
  spec.context_length = 4096;
  return spec;
}

/// Written into `directory`, which must be empty of other tokenizer files.
void write_files(const fs::path& directory, const Vocabulary& vocabulary) {
  for (const auto& [name, text] : tokenizer_files(some_model(), vocabulary))
    write_file_atomically(directory / name, text);
}

nlohmann::json read_json(const fs::path& path) { return nlohmann::json::parse(read_file(path, 1 << 26)); }

/// A vocabulary cut down to tokens that the records need, without the padding between their ids.
Vocabulary dense(const Vocabulary& padded) {
  Vocabulary vocabulary = padded;
  vocabulary.tokens.clear(), vocabulary.types.clear();
  for (std::size_t id = 0; id < padded.tokens.size(); ++id) {
    if (padded.types[id] == TokenType::unused) continue;
    vocabulary.tokens.push_back(padded.tokens[id]);
    vocabulary.types.push_back(padded.types[id]);
  }
  for (auto* id : {&vocabulary.bos, &vocabulary.eos, &vocabulary.unk, &vocabulary.pad}) id->reset();
  vocabulary.eos = 7;
  return vocabulary;
}

TEST(TokenizerJson, comes_back_with_every_pre_tokenizer) {
  const std::vector<std::string> lines = mixed_lines();
  ASSERT_EQ(lines.size(), 200u);
  for (const char* name : {"mixed/gpt-2", "mixed/qwen2.5"}) {
    Vocabulary vocabulary = dense(read_vocabulary(tokenizers() / name, 0));
    for (const PreTokenizer& pre : pre_tokenizers()) {
      const ScratchDirectory scratch;
      vocabulary.pre = pre.id;
      write_files(scratch.path(), vocabulary);
      EXPECT_EQ(tokenizer_difference(scratch.path(), vocabulary), "") << name << " " << pre.id;
      const auto size = static_cast<std::uint32_t>(vocabulary.tokens.size());
      const auto made = make_tokenizer(read_vocabulary(scratch.path(), size));
      const auto wanted = make_tokenizer(vocabulary);
      EXPECT_EQ(made->content_hash(), wanted->content_hash()) << pre.id;
      for (const std::string& line : lines) EXPECT_EQ(made->encode(line), wanted->encode(line)) << pre.id;
    }
  }
}

TEST(TokenizerJson, flags_special_tokens_and_kinds_come_back) {
  Vocabulary vocabulary = dense(read_vocabulary(tokenizers() / "mixed/qwen2.5", 0));
  const auto id_of = [&](const char* text) {
    const auto found = std::find(vocabulary.tokens.begin(), vocabulary.tokens.end(), text);
    return static_cast<std::size_t>(found - vocabulary.tokens.begin());
  };
  ASSERT_EQ(vocabulary.types.at(id_of("<tool_call>")), TokenType::user_defined);
  ASSERT_EQ(vocabulary.types.at(id_of("<|fim_prefix|>")), TokenType::control);
  vocabulary.bos = static_cast<TokenId>(id_of("<|endoftext|>"));
  vocabulary.mask = static_cast<TokenId>(id_of("<|im_start|>"));
  vocabulary.types.at(id_of("<|fim_pad|>")) = TokenType::user_defined;  // though it looks special
  vocabulary.chat_template = "{{ bos_token }}\"\n";
  for (const std::optional<bool> bos : {std::optional<bool>(), {true}, {false}}) {
    for (const std::optional<bool> eos : {std::optional<bool>(), {true}, {false}}) {
      const ScratchDirectory scratch;
      vocabulary.add_bos = bos, vocabulary.add_eos = eos;
      write_files(scratch.path(), vocabulary);
      EXPECT_EQ(tokenizer_difference(scratch.path(), vocabulary), "");
      const auto post = read_json(scratch / "tokenizer.json")["post_processor"];
      if (bos != true && eos != true) {
        EXPECT_EQ(post["type"], "ByteLevel");
        continue;
      }
      const auto single = post["processors"][1]["single"];
      EXPECT_EQ(single.front().contains("SpecialToken"), bos == true);
      EXPECT_EQ(single.back().contains("SpecialToken"), eos == true);
    }
  }
}

TEST(TokenizerJson, differences_are_found) {
  const Vocabulary vocabulary = read_vocabulary(tokenizers() / "mixed/gpt-2", 0);
  const ScratchDirectory scratch;
  write_files(scratch.path(), vocabulary);
  const auto difference = [&](auto&& change) {
    Vocabulary other = vocabulary;
    change(other);
    return tokenizer_difference(scratch.path(), other);
  };
  EXPECT_EQ(difference([](Vocabulary& v) { v.pre = "qwen2"; }), "the pre-tokenizer \"qwen2\"");
  EXPECT_EQ(difference([](Vocabulary& v) { std::swap(v.merges[0], v.merges[1]); }), "the merges");
  EXPECT_EQ(difference([](Vocabulary& v) { v.types[300] = TokenType::user_defined; }),
            "the type of token 300");
  EXPECT_EQ(difference([](Vocabulary& v) { v.cls = 5; }), "special tokens");
  EXPECT_EQ(difference([](Vocabulary& v) { v.add_bos = true; }), "flags");
}

/// The frame of special tokens is all that some models say of BOS.
TEST(TokenizerJson, a_frame_around_the_text_says_that_bos_stands_in_front) {
  const ScratchDirectory scratch;
  Vocabulary vocabulary = read_vocabulary(tokenizers() / "mixed/gpt-2", 0);
  vocabulary.add_bos = true;
  write_files(scratch.path(), vocabulary);
  auto config = read_json(scratch / "tokenizer_config.json");
  config.erase("add_bos_token");
  write_file_atomically(scratch / "tokenizer_config.json", config.dump());
  EXPECT_EQ(read_vocabulary(scratch.path(), 0).add_bos, true);
  config["add_bos_token"] = false;
  write_file_atomically(scratch / "tokenizer_config.json", config.dump());
  EXPECT_EQ(read_vocabulary(scratch.path(), 0).add_bos, false);

  const ScratchDirectory llama;  // there BOS stands in front anyway: no flag
  vocabulary.pre = "llama-bpe", vocabulary.add_bos.reset();
  write_files(llama.path(), vocabulary);
  EXPECT_EQ(read_json(llama / "tokenizer.json")["post_processor"]["type"], "Sequence");
  EXPECT_EQ(read_vocabulary(llama.path(), 0).add_bos, std::nullopt);
}

TEST(TokenizerJson, is_built_as_models_are_published) {
  for (const auto& [name, pre] : {std::pair{"gpt-2", "gpt-2"}, {"qwen2.5", "qwen2"}}) {
    const ScratchDirectory scratch;
    const Vocabulary vocabulary = read_vocabulary(tokenizers() / "mixed" / name, 0);
    ASSERT_EQ(vocabulary.pre, pre);
    write_files(scratch.path(), vocabulary);
    const auto made = read_json(scratch / "tokenizer.json");
    const auto published = read_json(tokenizers() / "mixed" / name / "tokenizer.json");
    for (const auto& [member, value] : published.items()) EXPECT_TRUE(made.contains(member)) << member;
    for (const auto& [member, value] : published["model"].items())
      EXPECT_TRUE(made["model"].contains(member)) << member;
    EXPECT_EQ(made["normalizer"], published["normalizer"]);
    EXPECT_EQ(made["pre_tokenizer"]["type"], published["pre_tokenizer"]["type"]);
    EXPECT_EQ(made["decoder"]["type"], published["decoder"]["type"]);
    for (const auto& [text, id] : published["model"]["vocab"].items())
      EXPECT_EQ(made["model"]["vocab"][text], id);
    for (const auto& token : published["added_tokens"]) {
      const auto found = std::find_if(made["added_tokens"].begin(), made["added_tokens"].end(),
                                      [&](const auto& one) { return one["id"] == token["id"]; });
      ASSERT_NE(found, made["added_tokens"].end());
      EXPECT_EQ((*found)["content"], token["content"]);
      EXPECT_EQ(made["model"]["vocab"][token["content"].template get<std::string>()], token["id"]);
    }
  }
}

}  // namespace
