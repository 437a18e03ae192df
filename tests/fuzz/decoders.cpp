// The bytes as blocks of every type: decoders read nothing outside them, whatever their address, and decode a
// block alike alone and in a run.
#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "llmq/quant/codec.hpp"

#include "fuzz/fuzz.hpp"

namespace {

constexpr std::size_t kMostBlocks = 16;

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

/// A copy whose end is the end of its memory and whose beginning is odd.
class OddCopy {
 public:
  OddCopy(const std::uint8_t* data, std::size_t size) : memory_(std::make_unique<std::byte[]>(size + 1)) {
    std::memcpy(memory_.get() + 1, data, size);
    bytes_ = {memory_.get() + 1, size};
  }
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::unique_ptr<std::byte[]> memory_;
  std::span<const std::byte> bytes_;
};

void decode_as(llmq::GgmlType type, const std::uint8_t* data, std::size_t size) {
  const llmq::BlockType& block = llmq::block_type(type);
  const std::size_t blocks = std::min(size / block.block_bytes, kMostBlocks);
  if (blocks == 0) return;
  const OddCopy run(data, blocks * block.block_bytes);
  std::vector<float> together(blocks * block.block_elems);
  llmq::decode_rows(type, run.bytes(), together.size(), together);
  std::vector<float> alone(block.block_elems);
  for (std::size_t i = 0; i < blocks; ++i) {
    const OddCopy one(data + i * block.block_bytes, block.block_bytes);
    llmq::decode_rows(type, one.bytes(), alone.size(), alone);
    if (!same_bits(alone, std::span(together).subspan(i * alone.size(), alone.size()))) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return llmq::fuzz::expect_typed_errors([&] {
    for (const llmq::Codec& codec : llmq::codecs()) {
      if (codec.decode != nullptr) decode_as(codec.type, data, size);
    }
  });
}
