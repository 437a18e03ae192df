// A GGUF file as MODEL: header, spec, vocabulary, tokenizer, and the rows of every tensor.
#include <vector>

#include "llmq/model/hf_files.hpp"
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
    // The same model as a directory.
    const llmq::Vocabulary vocabulary = source->vocabulary();
    (void)llmq::tokenizer_files(source->spec(), vocabulary);
    (void)llmq::hf_tensors(*source, llmq::hf_config_text(source->spec(), vocabulary, "float16"));
    (void)source->fingerprint();
    (void)llmq::make_tokenizer(source->vocabulary())->encode("Fuzzing  the \xF0\x9F\xA6\x99 tokenizer\n");
  });
}
