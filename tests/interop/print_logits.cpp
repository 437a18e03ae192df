// Our forward pass as numbers for stock_scores:
//   print_logits MODEL IDS CTX CHUNKS OUT
// IDS: token ids of the whole text, separated by white space. OUT: f32 logits of the vocabulary at each
// position from the middle of a chunk to the one before its last.
#include <fstream>
#include <iterator>

#include "llmq/model/source.hpp"

int main(int argc, char** argv) {
  using namespace llmq;
  if (argc != 6) return 2;
  const auto model = open_model(argv[1]);
  std::ifstream file(argv[2]);
  const std::vector<TokenId> ids{std::istream_iterator<TokenId>(file), {}};
  const std::size_t ctx = std::stoul(argv[3]), chunks = std::stoul(argv[4]);
  const std::size_t hidden = model->spec().hidden_size, vocabulary = model->spec().vocab_size;
  const auto pass = make_forward_pass(model->spec());
  const WeightLoader loader = make_weight_loader(*model);
  std::ofstream out(argv[5], std::ios::binary);
  for (std::size_t chunk = 0; chunk < chunks && (chunk + 1) * ctx <= ids.size(); ++chunk) {
    std::vector<TokenId> tokens(ids.begin() + static_cast<std::ptrdiff_t>(chunk * ctx),
                                ids.begin() + static_cast<std::ptrdiff_t>((chunk + 1) * ctx));
    tokens.front() = ids.front();
    std::vector<float> states, logits((ctx - 1 - ctx / 2) * vocabulary);
    embed_tokens(*model, tokens, states);
    for (std::uint32_t layer = 0; layer < model->spec().n_layers; ++layer)
      pass->run_layer(*pass->load_layer(layer, loader), states, {});
    pass->run_head(*pass->load_head(loader),
                   std::span(states).subspan(ctx / 2 * hidden, (ctx - 1 - ctx / 2) * hidden), logits);
    out.write(reinterpret_cast<const char*>(logits.data()),
              static_cast<std::streamsize>(logits.size() * sizeof(float)));
  }
  return out ? 0 : 1;
}
