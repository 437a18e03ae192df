// Files of rules about types: document to rules.
#include "llmq/pipeline/layer_bits.hpp"

#include <string_view>

#include "fuzz/fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  return llmq::fuzz::expect_typed_errors([&] {
    llmq::TypeRules rules;
    rules.by_name = llmq::parse_layer_bits(text, "rules.json");
    (void)rules.description();
  });
}
