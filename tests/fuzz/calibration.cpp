// Calibration texts: the first byte chooses .txt, .json or .jsonl.
#include <string_view>

#include "llmq/pipeline/samples.hpp"

#include "fuzz/fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  constexpr const char* kExtensions[] = {".txt", ".json", ".jsonl"};
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  return llmq::fuzz::expect_typed_errors(
      [&] { (void)llmq::join_documents(text, kExtensions[data[0] % 3], "text"); });
}
