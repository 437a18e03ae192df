// A safetensors file: header rules, and reads of every tensor the header promises.
#include "llmq/formats/safetensors.hpp"

#include <vector>

#include "fuzz/fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return llmq::fuzz::expect_typed_errors([&] {
    const llmq::fuzz::MemoryDirectory directory;
    directory.put("model.safetensors", data, size);
    const llmq::SafetensorsCheckpoint checkpoint(directory.path());
    std::vector<std::byte> bytes;
    for (const llmq::SafetensorsTensor& tensor : checkpoint.tensors()) {
      bytes.resize(tensor.size_bytes);
      checkpoint.read(tensor, 0, bytes);
    }
    (void)checkpoint.fingerprint();
    for (const llmq::File& shard : checkpoint.shards()) (void)llmq::read_safetensors_metadata(shard);
  });
}
