// tokenizer.json and what it makes of a difficult text.
#include "llmq/model/tokenizer.hpp"

#include "fuzz/fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return llmq::fuzz::expect_typed_errors([&] {
    const llmq::fuzz::MemoryDirectory directory;
    directory.put("tokenizer.json", data, size);
    const auto tokenizer = llmq::make_tokenizer(llmq::read_vocabulary(directory.path(), 0));
    (void)tokenizer->decode(tokenizer->encode("Two  spaces, K\xC3\xA4se \xF0\x9F\xA6\x99 \xFF 12345\n\t x"));
  });
}
