// config.json to ModelSpec, the llama3 rotation factors, and the row order of attention weights.
#include <numeric>

#include <gtest/gtest.h>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/model/source.hpp"

#include "model/row_permutation.hpp"
#include "support/scratch.hpp"

namespace {
using namespace llmq;
using testing_support::ScratchDirectory;
const std::string kShapes = R"("hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
  "num_attention_heads": 8, "vocab_size": 100, "max_position_embeddings": 256)";

ModelSpec parse(const std::string& more) {
  const ScratchDirectory scratch;
  write_file_atomically(scratch / "config.json",
                        "{\"architectures\": [\"LlamaForCausalLM\"], " + kShapes + more + "}");
  return read_model_spec(scratch.path());
}

TEST(ModelSpec, defaults_follow_the_class) {
  const ModelSpec spec = parse("");
  EXPECT_EQ(spec.n_kv_heads, 8u);
  EXPECT_EQ(spec.head_dim, 8u);
  EXPECT_EQ(spec.rope_theta, 10000.0);
  EXPECT_FALSE(spec.explicit_head_dim);
}

TEST(ModelSpec, llama3_factors_equal_the_published_values) {
  ModelSpec spec = parse(
      R"(, "head_dim": 128, "rope_theta": 500000.0, "rope_scaling": {"rope_type": "llama3", "factor": 8.0,
    "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192})");
  const auto factors = spec.rope_freq_factors();
  ASSERT_EQ(factors.size(), 64u);
  EXPECT_EQ(factors[28], 1.0F);
  EXPECT_NEAR(factors[29], 1.207484F, 1e-5);
  EXPECT_NEAR(factors[32], 2.694530F, 1e-5);
  EXPECT_NEAR(factors[34], 5.257327F, 1e-5);
  EXPECT_EQ(factors[35], 8.0F);
}

TEST(ModelSpec, bad_values_are_typed_errors) {
  for (const char* more : {R"(, "num_key_value_heads": 3)", R"(, "head_dim": 7)", R"(, "rms_norm_eps": -1)",
                           R"(, "rope_scaling": {"rope_type": "yarn"})", R"(, "hidden_act": "gelu")",
                           R"(, "rope_scaling": 3)", R"(, "tie_word_embeddings": 1)"}) {
    EXPECT_THROW(parse(more), Error) << more;
  }
}

TEST(RowPermutation, pairs_half_a_head_apart_become_adjacent) {
  EXPECT_EQ(gguf_row_to_hf(0, 2), 0u);
  EXPECT_EQ(gguf_row_to_hf(1, 2), 2u);
  EXPECT_EQ(gguf_row_to_hf(2, 2), 1u);
  EXPECT_EQ(gguf_row_to_hf(3, 2), 3u);
  for (std::uint64_t row = 0; row < 16; ++row) EXPECT_EQ(hf_row_to_gguf(gguf_row_to_hf(row, 8), 8), row);
}

TEST(ModelSource, rows_in_gguf_order_are_permuted_hugging_face_rows) {
  const auto source = open_model(std::string(LLMQ_TEST_DATA) + "/pebble");
  const ModelTensor& q = *source->find("blk.0.attn_q.weight");
  std::vector<float> hf(q.elements()), gguf(q.elements()), middle(3 * q.row_elems());
  source->read_rows(q, 0, q.rows(), RowOrder::hugging_face, hf);
  source->read_rows(q, 0, q.rows(), RowOrder::gguf, gguf);
  source->read_rows(q, 63, 3, RowOrder::gguf, middle);  // across two heads of 64
  for (std::uint64_t row = 0; row < q.rows(); ++row) {
    const std::uint64_t from = row / 64 * 64 + gguf_row_to_hf(row % 64, 32);
    EXPECT_TRUE(std::equal(gguf.begin() + static_cast<std::ptrdiff_t>(row * 256),
                           gguf.begin() + static_cast<std::ptrdiff_t>(row * 256 + 256),
                           hf.begin() + static_cast<std::ptrdiff_t>(from * 256)));
  }
  EXPECT_TRUE(std::equal(middle.begin(), middle.end(), gguf.begin() + 63 * 256));
  EXPECT_EQ(source->parameter_count(), 4196608u);
  EXPECT_EQ(size_label(source->parameter_count()), "4.2M");
}

}  // namespace
