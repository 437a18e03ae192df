// Our forward pass of a quantized model whose protected weights are moved by SCALE times what they lack, 1:
// have their exact values again:
//   print_probabilities QUANTIZED.gguf ORIGINAL IMATRIX SCALE IDS OUT
// IDS: a line of token ids a chunk. OUT: f64 probabilities of the vocabulary at each position from the middle
// of a chunk to the one before its last. Protected are the weights the imatrix names; none of attn_q and
// attn_k.
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "llmq/core/error.hpp"
#include "llmq/formats/imatrix.hpp"
#include "llmq/model/patched_source.hpp"

namespace {
using namespace llmq;

std::vector<WeightPatch> moved_weights(const ModelSource& quantized, const ModelSource& original,
                                       const SuperWeights& weights, float scale) {
  std::map<std::string, std::set<std::uint64_t>> places;
  for (const auto& [name, indices] : weights.covered) places[name].insert(indices.begin(), indices.end());
  for (const SuperWeight& spike : weights.spikes)
    places[spike.tensor].insert(spike.row * original.find(spike.tensor)->row_elems() + spike.column);
  std::vector<WeightPatch> patches;
  for (const auto& [name, indices] : places) {
    const ModelTensor& tensor = *original.find(name);
    if (tensor.permuted_heads != 0) throw InternalError("rows of " + name + " stand in two orders");
    std::vector<float> exact(tensor.row_elems()), decoded(tensor.row_elems());
    for (const std::uint64_t index : indices) {
      const std::uint64_t row = index / tensor.row_elems(), column = index % tensor.row_elems();
      original.read_rows(tensor, row, 1, RowOrder::gguf, exact);
      quantized.read_rows(*quantized.find(name), row, 1, RowOrder::gguf, decoded);
      const float moved = decoded[column] + scale * (exact[column] - decoded[column]);
      patches.push_back({name, row, column, scale == 1 ? exact[column] : moved});
    }
  }
  return patches;
}

void write_softmax(std::span<const float> logits, std::ofstream& out) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(double{logit} - top);
  for (const float logit : logits) {
    const double probability = std::exp(double{logit} - top) / sum;
    out.write(reinterpret_cast<const char*>(&probability), sizeof probability);
  }
}

void run_chunk(const ModelSource& model, const std::vector<TokenId>& ids, std::ofstream& out) {
  const auto pass = make_forward_pass(model.spec());
  const WeightLoader loader = make_weight_loader(model);
  const std::size_t hidden = model.spec().hidden_size, vocabulary = model.spec().vocab_size;
  std::vector<float> states;
  embed_tokens(model, ids, states);
  for (std::uint32_t layer = 0; layer < model.spec().n_layers; ++layer)
    pass->run_layer(*pass->load_layer(layer, loader), states, {});
  const std::size_t first = ids.size() / 2, rows = ids.size() - 1 - first;
  std::vector<float> logits(rows * vocabulary);
  pass->run_head(*pass->load_head(loader),
                 std::span<const float>(states).subspan(first * hidden, rows * hidden), logits);
  for (std::size_t row = 0; row < rows; ++row)
    write_softmax(std::span<const float>(logits).subspan(row * vocabulary, vocabulary), out);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) return 2;
  const auto quantized = open_model(argv[1]), original = open_model(argv[2]);
  const PatchedSource model(*quantized,
                            moved_weights(*quantized, *original, read_imatrix(argv[3]).super_weights,
                                          std::strtof(argv[4], nullptr)));
  std::ifstream chunks(argv[5]);
  std::ofstream out(argv[6], std::ios::binary);
  for (std::string line; std::getline(chunks, line);) {
    std::istringstream numbers(line);
    std::vector<TokenId> ids;
    for (TokenId id = 0; numbers >> id;) ids.push_back(id);
    run_chunk(model, ids, out);
  }
  return out.good() ? 0 : 1;
}
