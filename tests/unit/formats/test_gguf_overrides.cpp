// --override-kv: what is parsed, what a key keeps, and what must not be set.
#include <cstdint>
#include <string>

#include <gtest/gtest.h>

#include "llmq/formats/gguf_overrides.hpp"

namespace {
using namespace llmq;

GgufMetadata model() {
  GgufMetadata metadata;
  metadata.set("general.architecture", std::string("llama"));
  metadata.set("general.name", std::string("Pebble"));
  metadata.set("llama.context_length", std::uint32_t{512});
  metadata.set("llama.rope.freq_base", 10000.0F);
  metadata.set("tokenizer.ggml.add_bos_token", true);
  metadata.set("tokenizer.ggml.token_type", GgufArray(std::vector<std::int32_t>{1, 2}));
  metadata.set("some.signed", std::int32_t{-1});
  return metadata;
}

GgufMetadata with(std::initializer_list<const char*> texts) {
  GgufMetadata metadata = model();
  std::vector<MetadataOverride> changes;
  for (const char* text : texts) changes.push_back(parse_metadata_override(text));
  apply_metadata_overrides(changes, metadata);
  return metadata;
}

template <typename Value>
Value value_of(const GgufMetadata& metadata, const char* key) {
  return std::get<Value>(*metadata.find(key));
}

TEST(GgufOverrides, a_key_keeps_its_number_format) {
  const GgufMetadata metadata =
      with({"general.name=str:a=b:c", "llama.context_length=int:4096", "llama.rope.freq_base=float:5e5",
            "tokenizer.ggml.add_bos_token=bool:false", "some.signed=int:-7"});

  EXPECT_EQ(value_of<std::string>(metadata, "general.name"), "a=b:c");
  EXPECT_EQ(value_of<std::uint32_t>(metadata, "llama.context_length"), 4096u);
  EXPECT_EQ(value_of<float>(metadata, "llama.rope.freq_base"), 5e5F);
  EXPECT_EQ(value_of<bool>(metadata, "tokenizer.ggml.add_bos_token"), false);
  EXPECT_EQ(value_of<std::int32_t>(metadata, "some.signed"), -7);
  EXPECT_EQ(metadata.pairs().size(), model().pairs().size());
}

TEST(GgufOverrides, new_keys_get_the_smallest_usual_format_and_the_last_value_wins) {
  const GgufMetadata metadata = with({"a.n=int:5", "a.big=int:5000000000", "a.minus=int:-5", "a.f=float:1.5",
                                      "a.b=bool:true", "a.s=str:", "a.n=int:6"});

  EXPECT_EQ(value_of<std::uint32_t>(metadata, "a.n"), 6u);
  EXPECT_EQ(value_of<std::int64_t>(metadata, "a.big"), 5000000000);
  EXPECT_EQ(value_of<std::int64_t>(metadata, "a.minus"), -5);
  EXPECT_EQ(value_of<float>(metadata, "a.f"), 1.5F);
  EXPECT_EQ(value_of<bool>(metadata, "a.b"), true);
  EXPECT_EQ(value_of<std::string>(metadata, "a.s"), "");
}

void expect_refused(const char* text) {
  try {
    (void)with({text});
    ADD_FAILURE() << "accepted: " << text;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::invalid_arguments) << text;
    EXPECT_NE(std::string(error.what()).find("--override-kv"), std::string::npos);
    EXPECT_FALSE(error.suggestion().empty());
  }
}

TEST(GgufOverrides, malformed_ones_are_refused) {
  for (const char* text : {"", "a", "a=", "a=int", "=int:1", "a b=int:1", "a=int:", "a=int:x", "a=int:1x",
                           "a=int:99999999999999999999", "a=float:", "a=float:nan", "a=float:1e300",
                           "a=float:1,5", "a=bool:1", "a=str:\xff", "a=text:b", "a:int=1"})
    expect_refused(text);
}

TEST(GgufOverrides, values_of_another_kind_or_range_are_refused) {
  for (const char* text :
       {"general.name=int:1", "llama.context_length=str:a", "llama.context_length=int:-1",
        "llama.context_length=int:4294967296", "llama.context_length=float:1", "llama.rope.freq_base=int:1",
        "tokenizer.ggml.add_bos_token=int:1", "tokenizer.ggml.token_type=int:1"})
    expect_refused(text);
}

TEST(GgufOverrides, what_the_file_itself_decides_is_refused) {
  for (const char* text :
       {"general.alignment=int:64", "general.architecture=str:phi3", "general.file_type=int:7",
        "general.quantization_version=int:3", "split.count=int:2", "GGUF.tensor_count=int:1",
        "llama.block_count=int:3", "llama.attention.head_count_kv=int:1", "llama.embedding_length=int:1",
        "llm_quantize.version=str:9", "quantize.imatrix.file=str:x", "tokenizer.ggml.model=str:gpt2"})
    expect_refused(text);
}

TEST(GgufOverrides, the_description_is_what_was_typed) {
  for (const char* text : {"a=int:-5", "a=float:1.5", "a=bool:true", "a=str:x y"})
    EXPECT_EQ(parse_metadata_override(text).description(), text);
}

}  // namespace
