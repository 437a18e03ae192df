// config.json to ModelSpec.
#include "llmq/model/spec.hpp"

#include "fuzz/fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return llmq::fuzz::expect_typed_errors([&] {
    const llmq::fuzz::MemoryDirectory directory;
    directory.put("config.json", data, size);
    (void)llmq::read_model_spec(directory.path()).rope_freq_factors();
  });
}
