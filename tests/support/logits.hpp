// Logits of whole models, and how far two sets of them are apart.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "llmq/model/source.hpp"

namespace llmq::testing_support {

/// Logits of some tokens of a whole model.
inline std::vector<float> logits_of(const ModelSource& model) {
  const ModelSpec& spec = model.spec();
  const auto pass = make_forward_pass(spec);
  const WeightLoader loader = make_weight_loader(model);
  std::vector<TokenId> ids;
  for (std::uint32_t t = 0; t < 48; ++t)
    ids.push_back(static_cast<TokenId>((t * t * 29 + 13 * t + 7) % spec.vocab_size));
  std::vector<float> hidden;
  embed_tokens(model, ids, hidden);
  for (std::uint32_t layer = 0; layer < spec.n_layers; ++layer)
    pass->run_layer(*pass->load_layer(layer, loader), hidden, {});
  std::vector<float> logits(ids.size() * spec.vocab_size);
  pass->run_head(*pass->load_head(loader), hidden, logits);
  return logits;
}

/// Largest difference over the spread (largest less smallest) of the first.
inline double relative_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    worst = std::max(worst, std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  const auto [low, high] = std::minmax_element(a.begin(), a.end());
  return worst / (static_cast<double>(*high) - static_cast<double>(*low));
}

}  // namespace llmq::testing_support
