// An importance matrix in the hdf5 form.
#include "llmq/formats/imatrix.hpp"

#include "fuzz/fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return llmq::fuzz::expect_typed_errors([&] {
    const llmq::fuzz::MemoryFile file(data, size);
    const llmq::Imatrix imatrix = llmq::read_imatrix_hdf5(file.path());
    for (const auto& [name, entry] : imatrix.entries) (void)entry.importance();
    (void)imatrix.content_hash();
  });
}
