// Tokenizers: ids of published records, both forms of pebble's tokenizer alike, malformed files refused.
#include <algorithm>
#include <span>
#include <sstream>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/core/hash.hpp"
#include "llmq/formats/gguf.hpp"
#include "llmq/model/tokenizer.hpp"

#include "model/tokenizer/algorithms.hpp"
#include "support/scratch.hpp"

namespace {
using namespace llmq;
namespace fs = std::filesystem;
using testing_support::ScratchDirectory;

fs::path data() { return fs::path(LLMQ_TEST_DATA); }

void check_records(const std::string& name) {
  const auto tokenizer = make_tokenizer(read_vocabulary(data() / "tokenizers" / name, 0));
  std::string records = read_file(data() / ("tokenizers/ggml-vocab-" + name + ".gguf.inp"), 1 << 20);
  std::istringstream expected(read_file(data() / ("tokenizers/ggml-vocab-" + name + ".gguf.out"), 1 << 20));
  const std::string separator = "\n__ggml_vocab_test__\n";
  int count = 0;
  for (std::string line; std::getline(expected, line); ++count) {
    const std::size_t end = records.find(separator);
    const std::string text = records.substr(0, end);
    records = end == std::string::npos ? "" : records.substr(end + separator.size());
    std::vector<TokenId> ids;
    std::istringstream numbers(line);
    for (TokenId id = 0; numbers >> id;) ids.push_back(id);
    EXPECT_EQ(tokenizer->encode(text), ids) << name << " record " << count << ": " << text;
  }
  EXPECT_EQ(count, 46);
}

TEST(BpeTokenizer, gpt2_records) { check_records("gpt-2"); }
TEST(BpeTokenizer, qwen2_records) { check_records("qwen2"); }

/// Ids of the text in many scripts as stock llama.cpp gives them: interop.tokenizers compares the same files.
TEST(Tokenizer, mixed_lines_have_the_ids_that_runtimes_give_them) {
  std::istringstream hashes(read_file(data() / "tokenizers/mixed/ids.txt", 1 << 20));
  const std::string text = read_file(data() / "tokenizers/mixed/text.txt", 1 << 20);
  int count = 0;
  for (std::string name, wanted; hashes >> name >> wanted; ++count) {
    const auto tokenizer = make_tokenizer(read_vocabulary(data() / "tokenizers/mixed" / name, 0));
    std::istringstream lines(text);
    std::string ids;
    for (std::string line; std::getline(lines, line);) {
      for (const TokenId id : tokenizer->encode(line)) ids += fmt::format("{} ", id);
      ids += "\n";
    }
    EXPECT_EQ(Sha256().update(std::as_bytes(std::span(ids))).hex(), wanted) << name;
  }
  EXPECT_EQ(count, 3);
}

TEST(BpeTokenizer, smollm_takes_digits_one_by_one) {
  const ScratchDirectory scratch;
  nlohmann::json file = nlohmann::json::parse(read_file(data() / "tokenizers/gpt-2/tokenizer.json", 1 << 24));
  file["pre_tokenizer"] = {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "Digits"}, {"individual_digits", true}},
        {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}}}}};
  write_file_atomically(scratch / "tokenizer.json", file.dump());
  const Vocabulary vocabulary = read_vocabulary(scratch.path(), 0);
  EXPECT_EQ(vocabulary.pre, "smollm");
  const auto tokenizer = make_tokenizer(vocabulary);
  EXPECT_EQ(tokenizer->encode("3333").size(), 4u);
  const auto plain = make_tokenizer(read_vocabulary(data() / "tokenizers/gpt-2", 0));
  EXPECT_LT(plain->encode("3333").size(), 4u) << "this test can fail";
  EXPECT_EQ(tokenizer->encode("Once upon a time"), plain->encode("Once upon a time"));
}

TEST(BpeTokenizer, invalid_utf8_and_decoding) {
  const auto tokenizer = make_tokenizer(read_vocabulary(data() / "tokenizers/gpt-2", 0));
  EXPECT_NO_THROW(tokenizer->encode("a\xFF\xC3 b\xE2\x82"));
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("Hello world 3.14\n\tx")), "Hello world 3.14\n\tx");
}

/// The alphabet of bytes, and tokens that two or more of its letters make.
Vocabulary byte_vocabulary(const std::string& pre, const std::vector<std::string>& merges) {
  Vocabulary vocabulary;
  vocabulary.model = "gpt2";
  vocabulary.pre = pre;
  vocabulary.tokens = byte_alphabet();
  vocabulary.merges = merges;
  for (std::string token : merges) vocabulary.tokens.push_back(token.erase(token.find(' '), 1));
  vocabulary.types.assign(vocabulary.tokens.size(), TokenType::normal);
  return vocabulary;
}

/// Whether "a" and what follows it are one word: a merge over both applies only then.
bool is_one_word(const std::string& pre, const std::string& first, const std::string& second) {
  std::string left, right;
  std::vector<std::string> merges;
  const auto join = [&](const std::string& text) {
    std::string joined;
    for (const char c : text) {
      const std::string& letter = byte_alphabet()[static_cast<unsigned char>(c)];
      if (!joined.empty()) merges.push_back(joined + " " + letter);
      joined += letter;
    }
    return joined;
  };
  left = join(first), right = join(second);
  merges.push_back(left + " " + right);
  return make_tokenizer(byte_vocabulary(pre, merges))->encode(first + second).size() == 1;
}

TEST(PreTokenizer, letters_numbers_and_spaces_are_those_of_unicode_15) {
  for (const char* pre : {"gpt-2", "qwen2", "llama-bpe", "starcoder"}) {
    EXPECT_TRUE(is_one_word(pre, "a", "b")) << pre;
    EXPECT_TRUE(is_one_word(pre, "a", "\u00E9")) << pre;
    EXPECT_FALSE(is_one_word(pre, "a", "\u0301")) << pre;      // a combining mark is no letter
    EXPECT_TRUE(is_one_word(pre, "a", "\U0001E030")) << pre;   // Cyrillic of 15.0
    EXPECT_TRUE(is_one_word(pre, "a", "\U0002EBF0")) << pre;   // Han of 15.1
    EXPECT_FALSE(is_one_word(pre, "a", "\U0001D2C0")) << pre;  // Kaktovik number of 15.0
    EXPECT_FALSE(is_one_word(pre, "a", "\u0378")) << pre;      // unassigned
    EXPECT_TRUE(is_one_word(pre, "!", "\u180E")) << pre;       // a space in old versions of Unicode
    EXPECT_FALSE(is_one_word(pre, "!", "\u2003")) << pre;
    EXPECT_FALSE(is_one_word(pre, "!", "\u0085")) << pre;
  }
  EXPECT_TRUE(is_one_word("gpt-2", "1", "\U0001D2C0"));
  EXPECT_TRUE(is_one_word("llama-bpe", "1", "\U0001D2C0"));
  EXPECT_FALSE(is_one_word("qwen2", "1", "\U0001D2C0"));
  EXPECT_FALSE(is_one_word("starcoder", "1", "2"));
}

TEST(PreTokenizer, case_is_ignored_in_ascii_alone) {
  EXPECT_FALSE(is_one_word("qwen2", "'S", "a"));
  EXPECT_FALSE(is_one_word("qwen2", "'Ll", "a"));
  EXPECT_TRUE(is_one_word("qwen2", "'\u017F", "a"));  // the long s, whose capital is S
  EXPECT_TRUE(is_one_word("gpt-2", "S", "a"));
}

TEST(PreTokenizer, whole_words_come_before_merges_and_bos_in_front_where_runtimes_do_so) {
  for (const auto& [pre, whole] :
       {std::pair{"llama-bpe", true}, {"falcon3", true}, {"smaug-bpe", false}, {"dbrx", false}}) {
    Vocabulary vocabulary = byte_vocabulary(pre, {"a b"});
    vocabulary.tokens.push_back("xyz");
    vocabulary.types.push_back(TokenType::normal);
    vocabulary.bos = 0;
    const auto tokenizer = make_tokenizer(vocabulary);
    EXPECT_EQ(tokenizer->encode("xyz").size(), whole ? 1u : 3u) << pre;
    EXPECT_EQ(tokenizer->encode("ab").size(), 1u) << pre;
    EXPECT_EQ(tokenizer->adds_bos(), whole) << pre;
  }
}

TEST(SpmTokenizer, tokenizer_model_and_tokenizer_json_give_the_same_ids) {
  const ScratchDirectory scratch;
  for (const char* name : {"config.json", "tokenizer.json", "tokenizer_config.json"}) {
    fs::copy(data() / "pebble" / name, scratch / name);
  }
  const auto from_model = make_tokenizer(read_vocabulary(data() / "pebble", 2048));
  const auto from_json = make_tokenizer(read_vocabulary(scratch.path(), 2048));
  const std::string story = read_file(data() / "text/story.txt", 1 << 20);
  for (const std::string& text :
       {story, std::string(""), std::string("  two  spaces "), std::string("\n\n\ttab"),
        std::string("Käse \xF0\x9F\xA6\x99 \x01"), std::string("   "), std::string("x")}) {
    EXPECT_EQ(from_model->encode(text), from_json->encode(text)) << text;
    const std::string back = from_model->decode(from_model->encode(text));
    EXPECT_TRUE(back == text || back == " " + text) << text;
  }
  EXPECT_TRUE(from_model->adds_bos());
}

TEST(Tokenizer, user_defined_tokens_are_found_unless_runtimes_take_them_for_control_tokens) {
  for (const char* directory : {"pebble", "tokenizers/gpt-2"}) {
    Vocabulary vocabulary = read_vocabulary(data() / directory, 0);
    for (std::size_t i = 0; const char* text : {"<tool>", "<tool>x", "<EOT>", "</s>"}) {
      const std::size_t id = 1000 + i++;
      vocabulary.tokens[id] = text;
      vocabulary.types[id] = TokenType::user_defined;
    }
    const auto tokenizer = make_tokenizer(vocabulary);
    const auto finds = [&](const char* text, TokenId id) {
      const std::vector<TokenId> ids = tokenizer->encode(text);
      return std::count(ids.begin(), ids.end(), id);
    };
    EXPECT_EQ(finds("a<tool>b<tool><tool", 1000), 2) << directory;
    EXPECT_EQ(finds("a<tool>xb", 1001), 1) << directory;  // the longest first
    EXPECT_EQ(finds("a <EOT> b", 1002), 0) << directory;
    EXPECT_EQ(finds("a </s> b", 1003), 0) << directory;
  }
}

TEST(Vocabulary, gguf_keys_carry_everything_the_algorithms_need) {
  for (const char* name : {"pebble", "tokenizers/gpt-2"}) {
    const Vocabulary original = read_vocabulary(data() / name, 0);
    GgufMetadata metadata;
    write_vocabulary(original, metadata);
    const auto a = make_tokenizer(original);
    const auto b = make_tokenizer(vocabulary_from_gguf(metadata));
    EXPECT_EQ(a->content_hash(), b->content_hash()) << name;
    EXPECT_EQ(a->encode("Once upon a time  there"), b->encode("Once upon a time  there"));
  }
}

TEST(Vocabulary, short_vocabularies_are_padded_to_the_embedding) {
  const Vocabulary vocabulary = read_vocabulary(data() / "pebble", 2050);
  ASSERT_EQ(vocabulary.tokens.size(), 2050u);
  EXPECT_EQ(vocabulary.tokens[2049], "[PAD2049]");
  EXPECT_EQ(vocabulary.types[2049], TokenType::unused);
}

TEST(Vocabulary, malformed_files_are_typed_errors) {
  const ScratchDirectory scratch;
  EXPECT_THROW(read_vocabulary(scratch.path(), 0), Error);
  for (const char* text : {"", "[]", "{}", R"({"model": {}})", R"({"model": {"vocab": {"a": -1}}})",
                           R"({"model": {"vocab": {"a": 0, "b": 0}, "merges": []}})",
                           R"({"model": {"vocab": {"a": 0}, "merges": ["ab"]}})",
                           R"({"model": {"type": "Unigram", "vocab": []}})"}) {
    write_file_atomically(scratch / "tokenizer.json", text);
    EXPECT_THROW(read_vocabulary(scratch.path(), 0), Error) << text;
  }
  write_file_atomically(scratch / "tokenizer.model", "not a model");
  EXPECT_THROW(read_vocabulary(scratch.path(), 0), FormatError);
}

}  // namespace
