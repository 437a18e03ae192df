// Two GGUF files as a set: u32 length of the first, the first, the second. Heads, and the ends of all
// tensors.
#include <algorithm>
#include <cstring>
#include <vector>

#include "llmq/formats/gguf_split.hpp"

#include "fuzz/fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::uint32_t first = 0;
  if (size < sizeof first) return 0;
  std::memcpy(&first, data, sizeof first);
  data += sizeof first, size -= sizeof first;
  first = static_cast<std::uint32_t>(std::min<std::size_t>(first, size));
  return llmq::fuzz::expect_typed_errors([&] {
    const llmq::fuzz::MemoryDirectory directory;
    directory.put("m-00001-of-00002.gguf", data, first);
    directory.put("m-00002-of-00002.gguf", data + first, size - first);
    (void)llmq::gguf_files(directory.path() / "m-00001-of-00002.gguf");
    const llmq::GgufSet set(directory.path() / "m-00001-of-00002.gguf");
    for (const llmq::GgufTensorInfo& tensor : set.header().tensors) {
      std::vector<std::byte> end(std::min<std::uint64_t>(tensor.size_bytes, 64));
      set.read(tensor, tensor.size_bytes - end.size(), end);
    }
    (void)set.file_bytes();
  });
}
