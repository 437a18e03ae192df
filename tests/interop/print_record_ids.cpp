// Prints the token ids of the records of a file by our tokenizer, a JSON array a line: print_record_ids
// DIRECTORY|FILE.gguf RECORDS. A zero byte stands between records. The GGUF file may be one without weights.
// Nothing is added in front or behind, special texts are not parsed.
#include <cstdio>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/formats/gguf.hpp"
#include "llmq/model/tokenizer.hpp"

int main(int argc, char** argv) try {
  if (argc != 3) return 2;
  const std::filesystem::path path = argv[1];
  const auto tokenizer =
      llmq::make_tokenizer(std::filesystem::is_directory(path)
                               ? llmq::read_vocabulary(path, 0)
                               : llmq::vocabulary_from_gguf(llmq::GgufFile(path).header().metadata));
  const std::string records = llmq::read_file(argv[2], 1 << 26);
  for (std::size_t at = 0; at <= records.size();) {
    const std::size_t end = std::min(records.find('\0', at), records.size());
    fmt::print("[{}]\n", fmt::join(tokenizer->encode(std::string_view(records).substr(at, end - at)), ","));
    at = end + 1;
  }
  return 0;
} catch (const llmq::Error& error) {
  fmt::print(stderr, "{}\n", error.what());
  return static_cast<int>(error.code());
}
