// Writes a Llama-shaped checkpoint with random weights: make_model DIRECTORY TOKENIZER_DIRECTORY LAYERS
// HIDDEN FFN. BF16, heads of 64, 4 query heads a key head, the vocabulary of the tokenizer's model.
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <random>

#include <fmt/format.h>

#include "llmq/core/file.hpp"
#include "llmq/core/half.hpp"
#include "llmq/model/spec.hpp"

namespace {
namespace fs = std::filesystem;

struct Tensor {
  std::string name;
  std::uint64_t rows;
  std::uint64_t columns;  // 0: a vector of ones with `rows` values
};

std::vector<Tensor> list_tensors(std::uint64_t layers, std::uint64_t hidden, std::uint64_t ffn,
                                 std::uint64_t vocab) {
  std::vector<Tensor> tensors = {{"model.embed_tokens.weight", vocab, hidden},
                                 {"lm_head.weight", vocab, hidden},
                                 {"model.norm.weight", hidden, 0}};
  for (std::uint64_t i = 0; i < layers; ++i) {
    const auto add = [&](const char* name, std::uint64_t rows, std::uint64_t columns) {
      tensors.push_back({fmt::format("model.layers.{}.{}.weight", i, name), rows, columns});
    };
    add("input_layernorm", hidden, 0);
    add("self_attn.q_proj", hidden, hidden);
    add("self_attn.k_proj", hidden / 4, hidden);
    add("self_attn.v_proj", hidden / 4, hidden);
    add("self_attn.o_proj", hidden, hidden);
    add("post_attention_layernorm", hidden, 0);
    add("mlp.gate_proj", ffn, hidden);
    add("mlp.up_proj", ffn, hidden);
    add("mlp.down_proj", hidden, ffn);
  }
  return tensors;
}

void write_weights(const fs::path& path, const std::vector<Tensor>& tensors) {
  std::string header = "{";
  std::uint64_t offset = 0;
  for (const Tensor& tensor : tensors) {
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
  for (const Tensor& tensor : tensors) {
    std::normal_distribution<float> draw(
        0, tensor.columns == 0 ? 0 : 1 / std::sqrt(static_cast<float>(tensor.columns)));
    const std::uint64_t columns = std::max<std::uint64_t>(1, tensor.columns);
    for (std::uint64_t r = 0; r < tensor.rows; ++r) {
      row.clear();
      for (std::uint64_t c = 0; c < columns; ++c)
        row.push_back(llmq::f32_to_bf16(tensor.columns == 0 ? 1.0F : draw(random)));
      file.write_at(std::as_bytes(std::span(row)), at);
      at += 2 * row.size();
    }
  }
}
}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) return 2;
  const fs::path out = argv[1];
  const fs::path tokenizer = argv[2];
  const std::uint64_t layers = std::stoull(argv[3]), hidden = std::stoull(argv[4]),
                      ffn = std::stoull(argv[5]);
  const std::uint64_t vocab = llmq::read_model_spec(tokenizer).vocab_size;
  fs::create_directories(out);
  for (const char* name : {"tokenizer.model", "tokenizer_config.json"}) {
    fs::copy(tokenizer / name, out / name, fs::copy_options::overwrite_existing);
  }
  llmq::write_file_atomically(out / "config.json",
                              fmt::format("{{\"architectures\":[\"LlamaForCausalLM\"],\"hidden_size\":{},"
                                          "\"intermediate_size\":{},\"num_hidden_layers\":{},"
                                          "\"num_attention_heads\":{},\"num_key_value_heads\":{},\"vocab_"
                                          "size\":{},\"max_position_embeddings\":2048,"
                                          "\"rms_norm_eps\":1e-5,\"torch_dtype\":\"bfloat16\"}}\n",
                                          hidden, ffn, layers, hidden / 64, hidden / 256, vocab));
  write_weights(out / "model.safetensors", list_tensors(layers, hidden, ffn, vocab));
  return 0;
}
