// The error table of dynamic quantization.
#include "llmq/formats/atlas.hpp"

#include "llmq/allocate/loss_model.hpp"

#include "fuzz/fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return llmq::fuzz::expect_typed_errors([&] {
    const llmq::fuzz::MemoryFile file(data, size);
    const llmq::Atlas atlas = llmq::read_atlas(file.path());
    const llmq::LossModel losses(atlas);
    for (const auto& [name, tensor] : atlas.tensors) {
      for (const llmq::AtlasCell& cell : tensor.cells) (void)losses.loss(name, cell.type);
    }
  });
}
