// Prints the token ids of text files by our tokenizer of a model, a JSON array a line: BOS first where it is
// added.
#include <cstdio>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "llmq/core/file.hpp"
#include "llmq/model/source.hpp"

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const auto source = llmq::open_model(argv[1]);
  const auto tokenizer = llmq::make_tokenizer(source->vocabulary());
  for (int i = 2; i < argc; ++i) {
    std::vector<llmq::TokenId> ids;
    if (tokenizer->adds_bos()) ids.push_back(*tokenizer->vocabulary().bos);
    for (const llmq::TokenId id : tokenizer->encode(llmq::read_file(argv[i], 1 << 26))) ids.push_back(id);
    fmt::print("[{}]\n", fmt::join(ids, ","));
  }
  return 0;
}
