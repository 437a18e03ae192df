// A GGUF file as MODEL: header, spec, vocabulary, tokenizer, and the rows of every tensor.
#include <vector>

#include "llmq/model/source.hpp"
#include "llmq/model/tokenizer.hpp"

#include "fuzz/fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return llmq::fuzz::expect_typed_errors([&] {
    const llmq::fuzz::MemoryDirectory directory;
    directory.put("model.gguf", data, size);
    const auto source = llmq::open_model(directory.path() / "model.gguf");
    for (const llmq::ModelTensor& tensor : source->tensors()) {
      std::vector<float> row(tensor.row_elems());
      if (tensor.rows() > 0) source->read_rows(tensor, 0, 1, llmq::RowOrder::hugging_face, row);
    }
    (void)source->fingerprint();
    (void)llmq::make_tokenizer(source->vocabulary())->encode("Fuzzing  the \xF0\x9F\xA6\x99 tokenizer\n");
  });
}
