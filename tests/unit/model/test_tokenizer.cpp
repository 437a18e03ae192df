// Tokenizers: ids of published records, both forms of pebble's tokenizer alike, malformed files refused.
#include <sstream>

#include <gtest/gtest.h>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/formats/gguf.hpp"
#include "llmq/model/tokenizer.hpp"

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

TEST(BpeTokenizer, invalid_utf8_and_decoding) {
  const auto tokenizer = make_tokenizer(read_vocabulary(data() / "tokenizers/gpt-2", 0));
  EXPECT_NO_THROW(tokenizer->encode("a\xFF\xC3 b\xE2\x82"));
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("Hello world 3.14\n\tx")), "Hello world 3.14\n\tx");
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
