// W8A8 models through the forward pass: integer products equal those of plain loops, and the model stays
// near.
#include <cmath>

#include <gtest/gtest.h>

#include "llmq/core/error.hpp"
#include "llmq/quant/int8_product.hpp"
#include "llmq/smoothquant/int8_source.hpp"

namespace {
using namespace llmq;

std::unique_ptr<ModelSource> pebble() { return open_model(std::string(LLMQ_TEST_DATA) + "/pebble"); }

std::vector<float> some_states(const ModelSpec& spec, std::size_t tokens) {
  std::vector<float> hidden;
  for (std::size_t i = 0; i < tokens * spec.hidden_size; ++i)
    hidden.push_back(static_cast<float>(std::sin(static_cast<double>(i * i % 1009))));
  return hidden;
}

TEST(Int8Source, codes_are_symmetric_and_within_half_a_step) {
  const auto source = pebble();
  const Int8Source coded(*source);
  std::size_t seen = 0;
  for (const ModelTensor& tensor : source->tensors()) {
    ASSERT_EQ(coded.has_codes(tensor), is_linear_weight(tensor)) << tensor.name;
    if (!coded.has_codes(tensor)) continue;
    ++seen;
    std::vector<float> weights(3 * tensor.row_elems()), decoded(weights.size()), scales(3);
    std::vector<std::int8_t> codes(weights.size());
    source->read_rows(tensor, 5, 3, RowOrder::hugging_face, weights);
    coded.read_rows(tensor, 5, 3, RowOrder::hugging_face, decoded);
    coded.read_codes(tensor, 5, codes, scales);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const float scale = scales[i / tensor.row_elems()];
      ASSERT_EQ(decoded[i], static_cast<float>(codes[i]) * scale);
      ASSERT_LE(std::fabs(weights[i] - decoded[i]), 0.5001F * scale);
    }
  }
  EXPECT_EQ(seen, 28u);
}

/// One layer by the module: with codes.
std::vector<float> run_layer(const ModelSource& model, std::uint32_t layer, std::vector<float> hidden,
                             std::vector<float>* normed = nullptr) {
  const auto pass = make_forward_pass(model.spec());
  const auto loaded = pass->load_layer(layer, make_weight_loader(model), make_code_loader(model));
  pass->run_layer(*loaded, hidden, [&](const MatmulRows& rows) {
    if (normed != nullptr && rows.input == MatmulInput::ffn_down)
      normed->assign(rows.x.begin(), rows.x.end());
  });
  return hidden;
}

TEST(Int8Source, a_product_is_that_of_whole_numbers) {
  const auto source = pebble();
  const Int8Source coded(*source);
  const ModelSpec& spec = source->spec();
  const std::vector<float> before = some_states(spec, 7);
  const auto pass = make_forward_pass(spec);
  const auto loaded = pass->load_layer(1, make_weight_loader(coded), make_code_loader(coded));
  std::vector<float> input, product;
  std::vector<float> hidden = before;
  pass->run_layer(
      *loaded, hidden,
      [&](const MatmulRows& rows) {
        if (rows.input == MatmulInput::ffn_down) input.assign(rows.x.begin(), rows.x.end());
      },
      [&](std::span<const float> y, std::size_t) { product.assign(y.begin(), y.end()); });
  const ModelTensor& down = *coded.find("blk.1.ffn_down.weight");
  std::vector<std::int8_t> codes(down.elements());
  std::vector<float> scales(down.rows());
  coded.read_codes(down, 0, codes, scales);
  Int8Rows rows;
  quantize_rows_int8(input, down.row_elems(), rows);
  for (std::size_t t = 0; t < 7; ++t) {
    for (std::size_t n = 0; n < down.rows(); ++n) {
      std::int64_t sum = 0;
      for (std::size_t k = 0; k < down.row_elems(); ++k)
        sum += rows.codes[t * down.row_elems() + k] * codes[n * down.row_elems() + k];
      ASSERT_EQ(product[t * down.rows() + n], static_cast<float>(sum) * rows.scales[t] * scales[n])
          << t << ", " << n;
    }
  }
}

TEST(Int8Source, a_layer_stays_near_and_is_not_the_same) {
  const auto source = pebble();
  const std::vector<float> before = some_states(source->spec(), 40);
  const std::vector<float> plain = run_layer(*source, 0, before),
                           coded = run_layer(Int8Source(*source), 0, before);
  double error = 0, change = 0;
  for (std::size_t i = 0; i < plain.size(); ++i) {
    error += std::pow(static_cast<double>(plain[i]) - static_cast<double>(coded[i]), 2);
    change += std::pow(static_cast<double>(plain[i]) - static_cast<double>(before[i]), 2);
  }
  EXPECT_LT(error, 1e-3 * change);
  EXPECT_GT(error, 0);
}

TEST(Int8Source, fixed_scales_of_inputs_clip) {
  const auto source = pebble();
  const std::vector<float> before = some_states(source->spec(), 9);
  std::vector<float> input;
  (void)run_layer(*source, 0, before, &input);
  float largest = 0;
  for (const float x : input) largest = std::max(largest, std::fabs(x));
  const auto error_with = [&](float scale) {
    const std::vector<float> plain = run_layer(*source, 0, before);
    const std::vector<float> coded =
        run_layer(Int8Source(*source, {{"blk.0.ffn_down.weight", scale}}), 0, before);
    double error = 0;
    for (std::size_t i = 0; i < plain.size(); ++i)
      error += std::pow(static_cast<double>(plain[i] - coded[i]), 2);
    return error;
  };
  EXPECT_LT(error_with(largest / 127), error_with(largest / 127 / 50)) << "what is clipped is lost";
  EXPECT_LT(error_with(largest / 127), error_with(largest)) << "three codes are too few";
  // Parts that share an input must agree on its scale.
  EXPECT_THROW(run_layer(Int8Source(*source, {{"blk.0.attn_q.weight", 0.1F}}), 0, before), Error);
}

}  // namespace
