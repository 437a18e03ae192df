// Conversions to Hugging Face directories: files of several shards, number formats, tokenizers that can be
// written and those that cannot, scalings that can be told from their factors.
#include <cstring>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/core/half.hpp"
#include "llmq/formats/safetensors.hpp"
#include "llmq/model/derived_source.hpp"
#include "llmq/model/hf_files.hpp"
#include "llmq/pipeline/convert.hpp"

#include "pipeline/hf_plan.hpp"
#include "support/quiet_stage.hpp"
#include "support/scratch.hpp"

namespace {
using namespace llmq;
namespace fs = std::filesystem;
using testing::HasSubstr;
using testing_support::pebble;
using testing_support::QuietStage;
using testing_support::ScratchDirectory;

fs::path pebble_path() { return fs::path(LLMQ_TEST_DATA) / "pebble"; }

using Tensors = std::map<std::string, std::vector<std::byte>>;

Tensors read_tensors(const fs::path& directory) {
  const SafetensorsCheckpoint checkpoint(directory);
  Tensors tensors;
  for (const SafetensorsTensor& tensor : checkpoint.tensors()) {
    std::vector<std::byte>& bytes = tensors[std::string(dtype_name(tensor.dtype)) + " " + tensor.name];
    bytes.resize(tensor.size_bytes);
    checkpoint.read(tensor, 0, bytes);
  }
  return tensors;
}

class Conversions : public testing::Test {
 protected:
  ConvertOptions options(const fs::path& input, ConvertFormat format, const std::string& name) const {
    ConvertOptions options;
    options.input = input;
    options.format = format;
    options.output_dir = scratch_.path();
    options.output_name = name;
    options.checkpoints.enabled = false;
    return options;
  }
  QuantizeResult convert(const ConvertOptions& options) { return run_convert(stage_.context, options); }
  /// pebble as a GGUF file.
  fs::path file(const std::string& level) {
    ConvertOptions there = options(pebble_path(), ConvertFormat::gguf, level);
    there.level = level;
    return convert(there).output_path;
  }

  ScratchDirectory scratch_;
  QuietStage stage_;
};

TEST_F(Conversions, a_large_directory_is_several_files_with_an_index) {
  ConvertOptions back = options(file("BF16"), ConvertFormat::hf, "shards");
  back.shard_bytes = 1'000'000;
  const QuantizeResult result = convert(back);
  const fs::path directory = scratch_ / "shards";
  const auto index = nlohmann::json::parse(read_file(directory / "model.safetensors.index.json", 1 << 20));
  EXPECT_EQ(index["weight_map"].size(), result.tensors.size());
  EXPECT_GT(index["weight_map"]["lm_head.weight"], "model-00001-of-");
  EXPECT_FALSE(fs::exists(directory / "model.safetensors"));
  EXPECT_EQ(read_tensors(directory), read_tensors(pebble_path()));
  std::uint64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(directory)) bytes += entry.file_size();
  EXPECT_EQ(result.file_bytes, bytes);
}

TEST_F(Conversions, one_format_for_all_tensors_when_it_is_asked_for) {
  ConvertOptions back = options(file("BF16"), ConvertFormat::hf, "wide");
  back.level = "f32";
  EXPECT_EQ(convert(back).level, "F32");
  for (const auto& [name, bytes] : read_tensors(scratch_ / "wide"))
    EXPECT_TRUE(name.starts_with("F32 ")) << name;
}

TEST_F(Conversions, the_quality_warning_is_a_question_where_somebody_can_be_asked) {
  ConvertOptions again = options(file("Q8_0"), ConvertFormat::gguf, "twice");
  again.level = "Q4_0";
  std::string asked;
  again.confirm = [&](const std::string& warning) {
    asked = warning;
    return false;
  };
  try {
    convert(again);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::cancelled);
  }
  EXPECT_THAT(asked, HasSubstr("Q8_0 weights would be quantized again, to Q4_0"));
  EXPECT_FALSE(fs::exists(scratch_ / "twice.gguf"));
  again.confirm = [](const std::string&) { return true; };
  convert(again);
  EXPECT_TRUE(fs::exists(scratch_ / "twice.gguf"));
  again.confirm = [](const std::string&) -> bool { throw InternalError("asked although forced"); };
  again.force = true;
  convert(again);
}

/// pebble with other values in its vectors.
class OtherVectors final : public DerivedSource {
 public:
  OtherVectors(const ModelSource& source, float value) : DerivedSource(source), value_(value) {
    for (ModelTensor tensor : source.tensors()) {
      if (tensor.n_dims == 1) tensor.stored_type = GgmlType::F32;
      tensors_.push_back(std::move(tensor));
    }
  }
  const std::vector<ModelTensor>& tensors() const noexcept override { return tensors_; }
  void read_rows(const ModelTensor&, std::uint64_t, std::uint64_t, RowOrder,
                 std::span<float> out) const override {
    std::fill(out.begin(), out.end(), value_);
  }
  std::string fingerprint() const override { return "other"; }

 private:
  float value_;
  std::vector<ModelTensor> tensors_;
};

TEST(HfPlan, vectors_are_narrowed_only_where_that_is_exact) {
  const auto model = pebble();
  for (const auto& [value, dtype] : {std::pair{1.5F, DType::BF16}, std::pair{1.0F + 0x1p-12F, DType::F32}}) {
    const OtherVectors source(*model, value);
    const std::string config = hf_config_text(model->spec(), model->vocabulary(), "bfloat16");
    EXPECT_EQ(main_dtype(source), DType::BF16);
    const HfPlan plan = plan_hf(source, hf_tensors(source, config), DType::BF16, std::nullopt, 1 << 30);
    for (const HfPlannedTensor& tensor : plan.tensors)
      EXPECT_EQ(tensor.dtype, tensor.tensor.source->n_dims == 1 ? dtype : DType::BF16) << tensor.tensor.name;
  }
}

TEST(HfPlan, every_byte_of_every_tensor_belongs_to_one_unit) {
  const auto model = pebble();
  const std::string config = hf_config_text(model->spec(), model->vocabulary(), "bfloat16");
  const HfPlan plan = plan_hf(*model, hf_tensors(*model, config), DType::BF16, std::nullopt, 1'000'000);
  std::map<std::uint32_t, std::map<std::uint64_t, std::uint64_t>> ranges;
  for (const OutputUnit& unit : plan.outputs) {
    for (const OutputRange& range : unit.ranges) ranges[range.file][range.offset_bytes] = range.size_bytes;
  }
  ASSERT_EQ(ranges.size(), plan.layout.shards.size());
  for (const auto& [file, parts] : ranges) {
    std::uint64_t at = plan.layout.shards[file].head.size();
    for (const auto& [offset, size] : parts) {
      EXPECT_EQ(offset, at);
      at = offset + size;
    }
    EXPECT_EQ(at, plan.layout.shards[file].file_bytes);
  }
}

TEST(HfConfig, numbers_are_as_short_as_they_were) {
  ModelSpec spec = pebble()->spec();
  spec.rms_norm_eps = 1e-6F;
  spec.rope_theta = 500000.0F;
  const std::string text = hf_config_text(spec, {}, "float16");
  EXPECT_THAT(text, HasSubstr("\"rms_norm_eps\": 1e-06,"));
  EXPECT_THAT(text, HasSubstr("\"rope_theta\": 500000.0,"));
}

TEST(HfConfig, scaling_factors_give_back_the_settings_that_models_use) {
  struct Setting {
    double factor, high, context;
  };
  for (const Setting& setting :
       {Setting{8, 4, 8192}, Setting{32, 4, 8192}, Setting{16, 4, 8192}, Setting{8, 2, 1024}}) {
    ModelSpec spec = pebble()->spec();
    spec.head_dim = 128, spec.rope_theta = 500000, spec.rope_scaling = RopeScaling::llama3;
    spec.rope_factor = setting.factor, spec.rope_high_freq_factor = setting.high;
    spec.rope_original_context = setting.context;
    const std::vector<float> factors = spec.rope_freq_factors();
    ModelSpec read = pebble()->spec();  // as from a file: factors alone
    read.head_dim = 128, read.rope_theta = 500000, read.rope_scaling = RopeScaling::llama3;
    read.stored_rope_factors = factors;
    const auto config = nlohmann::json::parse(hf_config_text(read, {}, "bfloat16"));
    const ModelSpec again = model_spec_from_config(config, "config.json", "m");
    EXPECT_EQ(again.rope_factor, setting.factor);
    EXPECT_EQ(again.rope_freq_factors(), factors);
  }
  ModelSpec strange = pebble()->spec();
  strange.stored_rope_factors.assign(strange.head_dim / 2, 1.0F);
  strange.stored_rope_factors[3] = 7.5F;
  EXPECT_THROW((void)hf_config_text(strange, {}, "bfloat16"), Error);
}

TEST(TokenizerFiles, sentencepiece_models_are_exact_with_every_type_of_token) {
  const ScratchDirectory scratch;
  Vocabulary vocabulary = pebble()->vocabulary();
  vocabulary.types[300] = TokenType::unused;
  vocabulary.types[301] = TokenType::control;
  vocabulary.types[302] = TokenType::user_defined;
  vocabulary.scores[302] = -1000;
  vocabulary.tokens[302] = "<<tool>>";
  vocabulary.pad = 301;
  vocabulary.add_space_prefix = false;
  vocabulary.chat_template = "{{ bos_token }}\"\n";
  for (const auto& [name, text] : tokenizer_files(pebble()->spec(), vocabulary))
    write_file_atomically(scratch / name, text);
  EXPECT_EQ(tokenizer_difference(scratch.path(), vocabulary), "");
  vocabulary.scores[302] = -3;  // what added tokens cannot say
  EXPECT_EQ(tokenizer_difference(scratch.path(), vocabulary), "the score of token 302");
}

TEST(TokenizerFiles, a_byte_level_tokenizer_that_is_not_known_is_not_made_up) {
  const ScratchDirectory scratch;
  const Vocabulary known = read_vocabulary(fs::path(LLMQ_TEST_DATA) / "tokenizers/gpt-2", 0);
  Vocabulary unknown = known, broken = known;
  unknown.pre = "of-tomorrow";
  broken.merges.push_back("no token");
  for (const Vocabulary* vocabulary : {&unknown, &broken}) {
    for (const auto& [name, text] : tokenizer_files(pebble()->spec(), *vocabulary))
      EXPECT_TRUE(name == "tokenizer_config.json" || name == "generation_config.json") << name;
  }
  EXPECT_EQ(tokenizer_difference(scratch.path(), unknown),
            "the expressions of the pre-tokenizer \"of-tomorrow\"");
  EXPECT_EQ(tokenizer_difference(scratch.path(), broken), "tokens of the merge \"no token\"");
}

TEST_F(Conversions, rows_of_a_file_are_the_same_by_windows_and_as_a_whole) {
  const auto source = open_model(file("BF16")), original = pebble();
  for (const char* name : {"blk.1.attn_q.weight", "blk.1.attn_k.weight"}) {
    const ModelTensor& tensor = *source->find(name);
    std::vector<float> whole(tensor.elements()), wanted(tensor.elements());
    source->read_rows(tensor, 0, tensor.rows(), RowOrder::hugging_face, whole);
    original->read_rows(*original->find(name), 0, tensor.rows(), RowOrder::hugging_face, wanted);
    EXPECT_EQ(whole, wanted) << name;
    for (std::uint64_t row = 0; row < tensor.rows();) {
      const std::uint64_t rows = std::min<std::uint64_t>(tensor.rows() - row, 1 + row % 37);
      std::vector<float> part(rows * tensor.row_elems());
      source->read_rows(tensor, row, rows, RowOrder::hugging_face, part);
      EXPECT_TRUE(std::equal(part.begin(), part.end(),
                             wanted.begin() + static_cast<std::ptrdiff_t>(row * tensor.row_elems())))
          << name << " " << row;
      row += rows;
    }
  }
}

}  // namespace
