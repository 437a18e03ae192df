// A W8A8 directory: configuration and weights in one input, divided by a zero byte. The checker says what is
// wrong and never more than that.
#include <algorithm>

#include "llmq/formats/compressed_tensors.hpp"

#include "fuzz/fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return llmq::fuzz::expect_typed_errors([&] {
    const std::uint8_t* end = std::find(data, data + size, 0);
    const std::uint8_t* weights = end == data + size ? end : end + 1;
    const llmq::fuzz::MemoryDirectory directory;
    directory.put("config.json", data, static_cast<std::size_t>(end - data));
    directory.put("model.safetensors", weights, static_cast<std::size_t>(data + size - weights));
    (void)llmq::check_w8a8_directory(directory.path());
  });
}
