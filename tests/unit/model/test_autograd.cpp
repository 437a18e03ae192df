// The backward pass against libtorch's autograd through a whole real model.
#include <cmath>
#include <map>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "llmq/model/source.hpp"

#include "head_in_parts.hpp"

namespace {
using namespace llmq;
using testing_support::loss_and_gradient;

constexpr std::int64_t kTokens = 96;

/// The model as one autograd graph; weights are leaves.
class TorchLlama {
 public:
  TorchLlama(const ModelSpec& spec, const WeightLoader& loader) : spec_(spec), loader_(loader) {}

  at::Tensor loss(const std::vector<std::int32_t>& ids) {
    const at::Tensor index = at::tensor(std::vector<std::int64_t>(ids.begin(), ids.end()));
    at::Tensor hidden =
        weight("token_embd.weight", spec_.vocab_size, spec_.hidden_size).index_select(0, index);
    for (std::uint32_t layer = 0; layer < spec_.n_layers; ++layer) hidden = through_layer(layer, hidden);
    const bool tied = !has("output.weight");
    const at::Tensor logits =
        normed(hidden, "output_norm.weight")
            .matmul(weight(tied ? "token_embd.weight" : "output.weight", spec_.vocab_size, spec_.hidden_size)
                        .t());
    const at::Tensor next = index.slice(0, 1);
    return -at::log_softmax(logits.slice(0, 0, -1), 1).gather(1, next.unsqueeze(1)).mean();
  }
  const std::map<std::string, at::Tensor>& leaves() const { return leaves_; }

 private:
  bool has(const std::string& name) {
    std::vector<float> values(std::size_t{spec_.vocab_size} * spec_.hidden_size);
    return loader_(name, values);
  }
  at::Tensor weight(const std::string& name, std::int64_t rows, std::int64_t columns) {
    const auto [at, fresh] = leaves_.try_emplace(name);
    if (fresh) {
      std::vector<float> values(static_cast<std::size_t>(rows * columns));
      EXPECT_TRUE(loader_(name, values)) << name;
      at->second = at::tensor(values).reshape({rows, columns}).requires_grad_(true);
    }
    return at->second;
  }
  at::Tensor normed(const at::Tensor& x, const std::string& name) {
    const at::Tensor gain = weight(name, 1, spec_.hidden_size);
    return x * at::rsqrt(x.square().mean(1, true) + static_cast<double>(spec_.rms_norm_eps)) * gain;
  }
  /// [tokens, heads x dim] -> [heads, tokens, dim], rotated.
  at::Tensor rotated(const at::Tensor& x, std::int64_t heads) {
    const std::int64_t half = spec_.head_dim / 2;
    std::vector<double> frequencies;
    for (std::int64_t c = 0; c < half; ++c)
      frequencies.push_back(std::pow(spec_.rope_theta, -2.0 * static_cast<double>(c) / spec_.head_dim));
    const at::Tensor angles = at::outer(at::arange(kTokens, at::kDouble), at::tensor(frequencies));
    const at::Tensor cosine = angles.cos().to(at::kFloat), sine = angles.sin().to(at::kFloat);
    const at::Tensor split = x.reshape({kTokens, heads, 2 * half}).transpose(0, 1);
    const at::Tensor a = split.slice(2, 0, half), b = split.slice(2, half);
    return at::cat({a * cosine - b * sine, b * cosine + a * sine}, 2);
  }
  at::Tensor through_layer(std::uint32_t layer, const at::Tensor& hidden) {
    const std::string block = "blk." + std::to_string(layer) + ".";
    const std::int64_t dim = spec_.head_dim, heads = spec_.n_heads, kv_heads = spec_.n_kv_heads;
    const std::int64_t width = spec_.hidden_size, ffn = spec_.intermediate_size;
    const auto product = [&](const at::Tensor& x, const char* name, std::int64_t rows) {
      return x.matmul(weight(block + name, rows, x.size(1)).t());
    };
    const at::Tensor x = normed(hidden, block + "attn_norm.weight");
    const at::Tensor q = rotated(product(x, "attn_q.weight", heads * dim), heads);
    const at::Tensor k =
        rotated(product(x, "attn_k.weight", kv_heads * dim), kv_heads).repeat_interleave(heads / kv_heads, 0);
    const at::Tensor v = product(x, "attn_v.weight", kv_heads * dim)
                             .reshape({kTokens, kv_heads, dim})
                             .transpose(0, 1)
                             .repeat_interleave(heads / kv_heads, 0);
    const at::Tensor hidden_keys = at::full({kTokens, kTokens}, -INFINITY).triu(1);
    const at::Tensor scores = q.matmul(k.transpose(1, 2)) / std::sqrt(static_cast<double>(dim)) + hidden_keys;
    const at::Tensor attended =
        at::softmax(scores, 2).matmul(v).transpose(0, 1).reshape({kTokens, heads * dim});
    const at::Tensor middle = hidden + product(attended, "attn_output.weight", width);
    const at::Tensor y = normed(middle, block + "ffn_norm.weight");
    const at::Tensor activated =
        at::silu(product(y, "ffn_gate.weight", ffn)) * product(y, "ffn_up.weight", ffn);
    return middle + product(activated, "ffn_down.weight", width);
  }

  const ModelSpec& spec_;
  const WeightLoader& loader_;
  std::map<std::string, at::Tensor> leaves_;
};

TEST(BackwardPass, equals_autograd_through_the_whole_of_pebble) {
  const auto source = open_model(std::string(LLMQ_TEST_DATA) + "/pebble");
  const ModelSpec& spec = source->spec();
  ASSERT_EQ(spec.rope_scaling, RopeScaling::none);
  const WeightLoader loader = make_weight_loader(*source);
  std::vector<std::int32_t> ids;
  for (std::int64_t t = 0; t < kTokens; ++t)
    ids.push_back(static_cast<std::int32_t>((t * t * 31 + t * 17 + 5) % spec.vocab_size));

  TorchLlama graph(spec, loader);
  const at::Tensor wanted_loss = graph.loss(ids);
  wanted_loss.backward();

  const auto pass = make_forward_pass(spec);
  std::vector<std::vector<float>> states(spec.n_layers + 1,
                                         std::vector<float>(ids.size() * spec.hidden_size));
  pass->embed(*pass->load_embedding(loader), ids, states[0]);
  for (std::uint32_t layer = 0; layer < spec.n_layers; ++layer) {
    states[layer + 1] = states[layer];
    pass->run_layer(*pass->load_layer(layer, loader), states[layer + 1], {});
  }
  std::vector<float>& gradient = states[spec.n_layers];
  const double loss = loss_and_gradient(spec, *pass, make_row_loader(*source), ids, gradient);
  EXPECT_NEAR(loss, wanted_loss.item<double>(), 1e-5);
  std::size_t compared = 0;
  for (std::uint32_t layer = spec.n_layers; layer-- > 0;) {
    const auto loaded = pass->load_layer(layer, loader);
    pass->backward_layer(*loaded, states[layer], gradient, [&](const GradientTile& tile) {
      const std::string name = "blk." + std::to_string(layer) + "." + std::string(tile.weight);
      const at::Tensor wanted = graph.leaves().at(name).grad();
      const auto rows = static_cast<std::int64_t>(tile.gradient.size() / tile.in_features);
      const auto first = static_cast<std::int64_t>(tile.first_row);
      const at::Tensor got = at::tensor(std::vector<float>(tile.gradient.begin(), tile.gradient.end()))
                                 .reshape({rows, static_cast<std::int64_t>(tile.in_features)});
      const at::Tensor part = wanted.slice(0, first, first + rows);
      EXPECT_LT((got - part).norm().item<double>(), 2e-5 * part.norm().item<double>()) << name;
      compared += tile.gradient.size();
    });
  }
  std::size_t all = 0;
  for (const auto& [name, leaf] : graph.leaves()) {
    if (name.starts_with("blk.") && leaf.size(0) > 1) all += static_cast<std::size_t>(leaf.numel());
  }
  EXPECT_EQ(compared, all);
}

}  // namespace
