// config.json to ModelSpec, the llama3 rotation factors, and the row order of attention weights.
#include <numeric>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/formats/gguf.hpp"
#include "llmq/model/source.hpp"

#include "model/row_permutation.hpp"
#include "support/scratch.hpp"

namespace {
using namespace llmq;
using testing_support::ScratchDirectory;
const std::string kShapes = R"("hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
  "num_attention_heads": 8, "vocab_size": 100, "max_position_embeddings": 256)";

ModelSpec parse(const std::string& more, const std::string& class_name = "LlamaForCausalLM") {
  const ScratchDirectory scratch;
  write_file_atomically(scratch / "config.json",
                        "{\"architectures\": [\"" + class_name + "\"], " + kShapes + more + "}");
  return read_model_spec(scratch.path());
}

/// The code of the error, 0 without one.
int code_of(const std::string& more, const std::string& class_name = "LlamaForCausalLM") {
  try {
    parse(more, class_name);
    return 0;
  } catch (const Error& error) {
    return static_cast<int>(error.code());
  }
}
const int kBadFile = static_cast<int>(ExitCode::validation);
const int kUnsupported = static_cast<int>(ExitCode::unsupported_conversion);

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
                           R"(, "rope_scaling": {"rope_type": "dynamic"})", R"(, "hidden_act": "gelu")",
                           R"(, "rope_scaling": 3)", R"(, "tie_word_embeddings": 1)"}) {
    EXPECT_THROW(parse(more), Error) << more;
  }
}

TEST(RopeParameters, are_read_like_the_older_keys) {
  const ModelSpec plain = parse(R"(, "rope_parameters": {"rope_type": "default", "rope_theta": 5e5})");
  EXPECT_EQ(plain.rope_theta, 5e5);
  EXPECT_EQ(plain.rope_scaling, RopeScaling::none);

  const ModelSpec scaled = parse(R"(, "rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5,
    "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64})");
  EXPECT_EQ(scaled.rope_theta, 5e5);
  const ModelSpec older = parse(R"(, "rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3",
    "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64})");
  EXPECT_EQ(scaled.rope_scaling, RopeScaling::llama3);
  EXPECT_EQ(scaled.rope_freq_factors(), older.rope_freq_factors());
}

TEST(RopeParameters, of_a_part_of_each_head) {
  const ModelSpec spec = parse(
      R"(, "rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.75, "rope_type": "default"})",
      "Phi3ForCausalLM");
  EXPECT_EQ(spec.rotated_dims(), 6u);
  EXPECT_EQ(code_of(R"(, "partial_rotary_factor": 0.5)"), kUnsupported);
  EXPECT_EQ(code_of(R"(, "rope_parameters": {"partial_rotary_factor": 0.5})"), kUnsupported);
  EXPECT_EQ(code_of(R"(, "partial_rotary_factor": 1.0)"), 0);
}

TEST(RopeParameters, by_layer_type_are_gemma_3s) {
  const std::string parameters = R"(, "rope_parameters": {
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 2e6},
    "sliding_attention": {"rope_type": "default", "rope_theta": 2e4}})";
  const ModelSpec spec = parse(parameters, "Gemma3ForCausalLM");
  EXPECT_EQ(spec.rope_theta, 2e6);
  EXPECT_EQ(spec.rope_theta_local, 2e4);
  EXPECT_EQ(spec.rope_scaling, RopeScaling::linear);
  EXPECT_EQ(spec.rope_factor, 8);

  EXPECT_EQ(code_of(parameters), kUnsupported) << "an architecture without types of layers";
  EXPECT_EQ(code_of(R"(, "rope_parameters": {"full_attention": {"rope_theta": 1e6},
    "sliding_attention": {"rope_type": "linear", "factor": 2.0}})",
                    "Gemma3ForCausalLM"),
            kUnsupported);
  EXPECT_EQ(code_of(R"(, "rope_parameters": {"full_attention": {"rope_theta": 1e6}})", "Gemma3ForCausalLM"),
            kBadFile);
}

TEST(RopeParameters, may_repeat_the_older_keys_and_not_contradict_them) {
  const std::string linear =
      R"(, "rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4})";
  for (const char* agreeing :
       {R"(, "rope_theta": 10000)", R"(, "rope_scaling": {"type": "linear", "factor": 4})",
        R"(, "rope_scaling": {"type": "linear"})", R"(, "rope_scaling": null, "rope_theta": null)"}) {
    EXPECT_EQ(parse(linear + agreeing).rope_factor, 4) << agreeing;
  }
  for (const char* contradicting :
       {R"(, "rope_theta": 500000.0)", R"(, "rope_scaling": {"type": "linear", "factor": 2.0})",
        R"(, "rope_scaling": {"type": "default"})", R"(, "rope_scaling": {"rope_type": "llama3"})"}) {
    EXPECT_EQ(code_of(linear + contradicting), kBadFile) << contradicting;
  }
  EXPECT_EQ(code_of(R"(, "rope_parameters": {"rope_theta": 1e4}, "rope_scaling": {"type": "linear"})"),
            kBadFile);
  for (const char* malformed : {"3", "{\"rope_type\": 3}", "{\"rope_theta\": \"x\"}", "[]"})
    EXPECT_EQ(code_of(std::string(", \"rope_parameters\": ") + malformed), kBadFile) << malformed;
}

const std::string kYarn = R"(, "head_dim": 128, "rope_theta": 1000000.0, "rope_scaling":
    {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768)";

TEST(Yarn, keeps_fast_rotations_and_slows_slow_ones_down) {
  const ModelSpec spec = parse(kYarn + "}");
  // c of 32 turns over 32768 positions: 64 ln(32768 / 64 pi) / ln(10^6) = 23.6; of one: 39.65.
  EXPECT_EQ(spec.yarn_share(0), 1);
  EXPECT_EQ(spec.yarn_share(23), 1);
  EXPECT_DOUBLE_EQ(spec.yarn_share(24), 1 - 0.75 / 17);
  EXPECT_DOUBLE_EQ(spec.yarn_share(39), 1 - 0.75 * 16 / 17);
  EXPECT_EQ(spec.yarn_share(40), 0.25);
  EXPECT_EQ(spec.yarn_share(63), 0.25);
  EXPECT_FLOAT_EQ(spec.rotated_scale(), 1.1386294F);  // 0.1 ln 4 + 1
  EXPECT_TRUE(spec.rope_freq_factors().empty()) << "they would become rope_freqs.weight";
}

TEST(Yarn, takes_what_the_configuration_says_and_knows_what_it_need_not_say) {
  const ModelSpec stated = parse(kYarn + R"(, "attention_factor": 1.5, "beta_fast": 32, "beta_slow": 1})");
  EXPECT_FLOAT_EQ(stated.rotated_scale(), 1.5F);
  const ModelSpec brief =
      parse(R"(, "rope_scaling": {"rope_type": "yarn", "original_max_position_embeddings": 64})");
  EXPECT_EQ(brief.rope_factor, 4) << "256 positions of 64";
  for (const char* other : {R"(, "mscale": 1.0})", R"(, "mscale_all_dim": 1.0})", R"(, "attn_factor": 1.0})",
                            R"(, "truncate": false})", R"(, "beta_fast": 16})", R"(, "beta_slow": 2})"}) {
    EXPECT_EQ(code_of(kYarn + other), kUnsupported) << other;
  }
  EXPECT_EQ(code_of(kYarn + R"(, "beta_fast": -1})"), kBadFile);
  for (const char* factor : {"1e300", "1e-300", "0.5"})
    EXPECT_EQ(code_of(fmt::format(R"(, "rope_scaling": {{"rope_type": "yarn", "factor": {}}})", factor)),
              kBadFile)
        << factor;
  for (const char* fixed : {"Gemma2ForCausalLM", "Gemma3ForCausalLM", "Phi3ForCausalLM"})
    EXPECT_EQ(code_of(kYarn + "}", fixed), kUnsupported) << fixed;
}

/// The smallest header that is read as a model, with more keys.
GgufHeader header_with(const std::vector<std::pair<std::string, GgufValue>>& more) {
  GgufHeader header;
  header.metadata.set("general.architecture", std::string("llama"));
  for (const auto& [key, value] : {std::pair{"block_count", 1U}, std::pair{"embedding_length", 64U},
                                   std::pair{"feed_forward_length", 64U},
                                   std::pair{"attention.head_count", 8U}, std::pair{"context_length", 256U}})
    header.metadata.set(std::string("llama.") + key, value);
  for (const auto& [key, value] : more) header.metadata.set("llama.rope." + key, value);
  GgufTensorInfo embedding;
  embedding.name = "token_embd.weight";
  embedding.ne = {64, 100, 1, 1};
  header.tensors.push_back(embedding);
  return header;
}

TEST(Yarn, in_a_gguf_file_is_the_same) {
  const ModelSpec spec = parse(R"(, "rope_scaling": {"rope_type": "yarn", "factor": 4.1,
    "original_max_position_embeddings": 64, "attention_factor": 1.3})");
  GgufMetadata metadata;
  write_model_metadata(spec, 1, metadata);
  std::vector<std::pair<std::string, GgufValue>> keys;
  for (const auto& [key, value] : metadata.pairs()) {
    if (key.starts_with("llama.rope.scaling.")) keys.emplace_back(key.substr(11), value);
  }
  EXPECT_EQ(keys.size(), 4u);
  const ModelSpec again = model_spec_from_gguf(header_with(keys));
  EXPECT_EQ(again.rope_factor, spec.rope_factor);
  EXPECT_EQ(again.rope_original_context, spec.rope_original_context);
  EXPECT_EQ(again.rotated_scale(), spec.rotated_scale());
  for (std::size_t c = 0; c < 4; ++c) EXPECT_EQ(again.yarn_share(c), spec.yarn_share(c));
}

TEST(Yarn, keys_that_runtimes_read_differently_are_refused) {
  const auto code = [](std::vector<std::pair<std::string, GgufValue>> keys) {
    keys.emplace_back("scaling.type", std::string("yarn"));
    keys.emplace_back("scaling.factor", 4.0F);
    try {
      model_spec_from_gguf(header_with(keys));
      return 0;
    } catch (const Error& error) {
      return static_cast<int>(error.code());
    }
  };
  EXPECT_EQ(code({{"scaling.yarn_attn_factor", 1.1386294F}}), 0) << "what follows from the factor";
  EXPECT_EQ(code({{"scaling.yarn_attn_factor", 1.3F}}), kUnsupported);
  EXPECT_EQ(code({{"scaling.yarn_ext_factor", 0.5F}}), kUnsupported);
  EXPECT_EQ(code({{"scaling.yarn_log_multiplier", 0.1F}}), kUnsupported);
  EXPECT_EQ(code({{"scaling.original_context_length", 0U}}), kBadFile);
  EXPECT_EQ(code({{"scaling.yarn_beta_fast", 32.0F}, {"scaling.yarn_beta_slow", 1.0F}}), 0);
  EXPECT_EQ(code({{"scaling.yarn_beta_fast", 16.0F}}), kUnsupported);
  EXPECT_EQ(code({{"scaling.yarn_beta_slow", 2.0F}}), kUnsupported);
  EXPECT_EQ(code({{"scaling.attn_factor", -1.0F}}), kBadFile);
}

TEST(StableLm, has_defaults_of_its_own) {
  const ModelSpec spec = parse(R"(, "head_dim": 8, "rms_norm_eps": 1.0)", "StableLmForCausalLM");
  EXPECT_EQ(spec.norm, Norm::layer);
  EXPECT_EQ(spec.rms_norm_eps, 1e-5F);
  EXPECT_EQ(spec.rotated_dims(), 2u) << "a quarter";
  EXPECT_FALSE(spec.attention_bias);
  EXPECT_TRUE(parse(R"(, "use_qkv_bias": true)", "StableLmForCausalLM").attention_bias);
  EXPECT_EQ(
      parse(R"(, "rope_parameters": {"partial_rotary_factor": 0.5})", "StableLmForCausalLM").rotated_dims(),
      4u);
}

TEST(StableLm, variants_that_are_other_models_are_refused) {
  for (const char* more :
       {R"(, "use_parallel_residual": true)", R"(, "qk_layernorm": true)", R"(, "tie_word_embeddings": true)",
        R"(, "hidden_act": "gelu_pytorch_tanh")", R"(, "head_dim": 16)"})
    EXPECT_EQ(code_of(more, "StableLmForCausalLM"), kUnsupported) << more;
  EXPECT_EQ(code_of(R"(, "partial_rotary_factor": 0.4)", "StableLmForCausalLM"), kBadFile) << "3 of 8 values";
}

TEST(SmolLm3, every_fourth_layer_does_not_rotate) {
  const ModelSpec spec = parse(R"(, "no_rope_layers": [1, 1])", "SmolLM3ForCausalLM");
  EXPECT_TRUE(spec.rotates(0) && spec.rotates(2) && spec.rotates(4));
  EXPECT_FALSE(spec.rotates(3) || spec.rotates(7));
  EXPECT_TRUE(parse("").rotates(3)) << "Llama";
}

TEST(SmolLm3, has_defaults_of_its_own) {
  const ModelSpec spec = parse("", "SmolLM3ForCausalLM");
  EXPECT_EQ(spec.n_kv_heads, 4u);
  EXPECT_EQ(spec.rope_theta, 2e6);
  EXPECT_TRUE(spec.tied_embeddings);
  EXPECT_FALSE(parse(R"(, "tie_word_embeddings": false)", "SmolLM3ForCausalLM").tied_embeddings);
}

TEST(SmolLm3, other_patterns_are_refused) {
  for (const char* more :
       {R"(, "no_rope_layer_interval": 2)", R"(, "no_rope_layers": [1, 0])",
        R"(, "use_sliding_window": true)", R"(, "attention_bias": true)", R"(, "mlp_bias": true)"})
    EXPECT_EQ(code_of(more, "SmolLM3ForCausalLM"), kUnsupported) << more;
  EXPECT_EQ(code_of(R"(, "no_rope_layers": [1, 1], "no_rope_layer_interval": 2)", "SmolLM3ForCausalLM"), 0)
      << "the list counts";
  EXPECT_EQ(code_of(R"(, "no_rope_layers": [1])", "SmolLM3ForCausalLM"), kBadFile);
}

TEST(ModelSpec, windowed_layers_stand_where_runtimes_take_them_to_be) {
  const std::string types = R"(, "layer_types": ["sliding_attention", "full_attention"])";
  EXPECT_EQ(code_of(types, "Gemma2ForCausalLM"), 0);
  EXPECT_EQ(code_of(types, "Gemma3ForCausalLM"), kUnsupported);
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
