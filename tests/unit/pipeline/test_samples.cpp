// Documents and samples by the rules of the contract.
#include <gtest/gtest.h>

#include "llmq/core/error.hpp"
#include "llmq/pipeline/samples.hpp"

namespace {
using namespace llmq;

/// One id per byte, BOS 256.
class ByteTokenizer final : public Tokenizer {
 public:
  ByteTokenizer() : Tokenizer(make()) {}
  std::vector<TokenId> encode(std::string_view text) const override { return {text.begin(), text.end()}; }
  std::string decode(const std::vector<TokenId>&) const override { return {}; }

 private:
  static Vocabulary make() {
    Vocabulary vocabulary;
    vocabulary.model = "llama";
    vocabulary.tokens.assign(257, "x");
    vocabulary.bos = 256;
    return vocabulary;
  }
};

TEST(Documents, text_json_and_lines_are_joined_by_a_blank_line) {
  EXPECT_EQ(join_documents("a\nb", ".txt", "t"), "a\nb");
  EXPECT_EQ(join_documents(R"(["a", {"text": "b"}])", ".json", "t"), "a\n\nb");
  EXPECT_EQ(join_documents("{\"text\": \"a\"}\n\n\"b\"\n", ".jsonl", "t"), "a\n\nb");
  EXPECT_EQ(
      join_documents(
          R"([{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "r"}]}])",
          ".json", "t"),
      "q\n\nr");
  for (const char* bad : {"{}", "[3]", "[{\"messages\": [{}]}]", "[", "[]"}) {
    EXPECT_THROW(join_documents(bad, ".json", "t"), Error) << bad;
  }
  EXPECT_THROW(join_documents(std::string("a\0b", 3), ".txt", "t"), Error);
}

TEST(Samples, bos_is_prepended_once_and_replaces_token_0_of_each_sample) {
  Log log({Verbosity::quiet, false, false, "", ""});
  SampleRequest request;
  request.builtin_text = "0123456789";  // 11 ids with BOS
  request.ctx = 4;
  const SampleSet set = make_samples(request, ByteTokenizer(), log);
  ASSERT_EQ(set.samples.size(), 2u);
  EXPECT_EQ(set.samples[0], (std::vector<TokenId>{256, '0', '1', '2'}));
  EXPECT_EQ(set.samples[1], (std::vector<TokenId>{256, '4', '5', '6'}));  // '3' gave way to BOS
  request.ctx = 12;
  EXPECT_THROW(make_samples(request, ByteTokenizer(), log), Error);
  request.model_context = 3;
  EXPECT_EQ(make_samples(request, ByteTokenizer(), log).ctx, 3u);
}

}  // namespace
