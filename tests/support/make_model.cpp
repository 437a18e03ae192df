// Writes a checkpoint with random weights: make_model DIRECTORY TOKENIZER_DIRECTORY LAYERS HIDDEN FFN
// [CLASS, or VARIANTForCausalLM]. BF16, heads of 64, the vocabulary of the tokenizer's model, or of its files
// where there is none. Without CLASS a Llama with 4 query heads a key head and norms of one; else one of
// architecture_models.hpp, two query heads a key head, norms and biases that differ.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <random>

#include <fmt/format.h>

#include "llmq/core/file.hpp"
#include "llmq/core/half.hpp"
#include "llmq/model/spec.hpp"
#include "llmq/model/tokenizer.hpp"

#include "architecture_models.hpp"

namespace {
namespace fs = std::filesystem;
using namespace llmq::testing_support;

/// @param deviation  of the values of vectors
void write_weights(const fs::path& path, const std::vector<MadeTensor>& tensors, float deviation) {
  std::string header = "{";
  std::uint64_t offset = 0;
  for (const MadeTensor& tensor : tensors) {
    const std::uint64_t bytes = 2 * tensor.rows * std::max<std::uint64_t>(1, tensor.columns);
    header += fmt::format("{}\"{}\":{{\"dtype\":\"BF16\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                          offset == 0 ? "" : ",", tensor.name,
                          tensor.columns == 0 ? fmt::format("{}", tensor.rows)
                                              : fmt::format("{},{}", tensor.rows, tensor.columns),
                          offset, offset + bytes);
    offset += bytes;
  }
  header += "}";
  while (header.size() % 8 != 0) header += ' ';
  const llmq::File file(path, llmq::File::Mode::create_truncate);
  const std::uint64_t length = header.size();
  file.write_at(std::as_bytes(std::span(&length, 1)), 0);
  file.write_at(std::as_bytes(std::span(header)), 8);
  std::uint64_t at = 8 + length;
  std::mt19937 random(1);
  std::vector<std::uint16_t> row;
  for (const MadeTensor& tensor : tensors) {
    const bool vector = tensor.columns == 0;
    std::normal_distribution<float> draw(
        vector ? tensor.mean : 0, vector ? deviation : 1 / std::sqrt(static_cast<float>(tensor.columns)));
    const bool constant = vector && deviation == 0;
    for (std::uint64_t r = 0; r < tensor.rows; ++r) {
      row.clear();
      for (std::uint64_t c = 0; c < std::max<std::uint64_t>(1, tensor.columns); ++c)
        row.push_back(llmq::f32_to_bf16(constant ? tensor.mean : draw(random)));
      file.write_at(std::as_bytes(std::span(row)), at);
      at += 2 * row.size();
    }
  }
}
}  // namespace

int main(int argc, char** argv) {
  if (argc != 6 && argc != 7) return 2;
  const fs::path out = argv[1];
  const fs::path tokenizer = argv[2];
  MadeShape shape;
  shape.layers = std::stoull(argv[3]), shape.hidden = std::stoull(argv[4]), shape.ffn = std::stoull(argv[5]);
  shape.vocab = fs::exists(tokenizer / "config.json")
                    ? llmq::read_model_spec(tokenizer).vocab_size
                    : static_cast<std::uint32_t>(llmq::read_vocabulary(tokenizer, 0).tokens.size());
  shape.heads = shape.hidden / 64;
  shape.kv_heads = argc == 6 ? shape.heads / 4 : shape.heads / 2;
  std::vector<MadeClass> classes = made_classes();
  if (argc == 6) classes[0].more_config.clear();
  const auto made = std::find_if(classes.begin(), classes.end(), [&](const MadeClass& one) {
    return (one.variant.empty() ? one.name : one.variant + "ForCausalLM") ==
           (argc == 7 ? argv[6] : "LlamaForCausalLM");
  });
  if (made == classes.end()) return 2;
  fs::create_directories(out);
  const bool pieces = fs::exists(tokenizer / "tokenizer.model");
  for (const char* name : {pieces ? "tokenizer.model" : "tokenizer.json", "tokenizer_config.json"}) {
    if (fs::exists(tokenizer / name))
      fs::copy(tokenizer / name, out / name, fs::copy_options::overwrite_existing);
  }
  llmq::write_file_atomically(out / "config.json", made_config(*made, shape));
  write_weights(out / "model.safetensors", made_tensors(*made, shape), argc == 7 ? 0.1F : 0.0F);
  return 0;
}
