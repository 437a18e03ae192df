// Evaluation bases: what was written is read back, what is of other contents or damaged is made again, and
// what is no base is left alone.
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "llmq/core/file.hpp"
#include "llmq/formats/safetensors.hpp"

#include "pipeline/evaluation_base.hpp"
#include "support/quiet_stage.hpp"
#include "support/scratch.hpp"

namespace {
using namespace llmq;
using namespace llmq::testing_support;
namespace fs = std::filesystem;

constexpr std::uint64_t kSamples = 3, kCtx = 8, kScored = 3;
const std::string kHash = "sha256:of the original";

SampleSet some_samples(TokenId first = 5) {
  SampleSet set;
  set.ctx = kCtx;
  for (std::uint64_t i = 0; i < kSamples; ++i)
    set.samples.emplace_back(kCtx, static_cast<TokenId>(i) + first);
  return set;
}

std::vector<float> states_of(std::uint64_t sample, std::uint64_t values) {
  std::vector<float> states(values);
  for (std::size_t i = 0; i < values; ++i)
    states[i] = 0.25F * static_cast<float>(i) - static_cast<float>(sample);
  return states;
}

std::string bytes_of(const fs::path& path) { return read_file(path, 1 << 24); }

class EvaluationBases : public testing::Test {
 protected:
  EvaluationBase open(const SampleSet& samples, const std::string& hash = kHash) const {
    return {stage_.context, path_, *model_, samples, hash};
  }
  EvaluationBase open() const { return open(some_samples()); }

  ColumnImportance importance() const {
    ColumnImportance importance;
    double next = 0.125;
    for (std::uint32_t layer = 0; layer < model_->spec().n_layers; ++layer) {
      for (const LayerWeight& weight : layer_weights(model_->spec())) {
        std::vector<double>& columns =
            importance["blk." + std::to_string(layer) + "." + std::string(weight.name)];
        columns.resize(input_width(model_->spec(), weight.input));
        for (double& column : columns) column = next += 0.5;
      }
    }
    return importance;
  }

  void make() const {
    EvaluationBase base = open();
    ASSERT_FALSE(base.complete());
    for (std::uint64_t sample = 0; sample < kSamples; ++sample) {
      EXPECT_FALSE(base.holds(sample));
      base.write(sample, states_of(sample, base.chunk_values()));
      EXPECT_TRUE(base.holds(sample));
    }
    base.finish(importance());
    EXPECT_FALSE(fs::exists(partial_));
  }

  QuietStage stage_;
  std::unique_ptr<ModelSource> model_ = pebble();
  ScratchDirectory scratch_;
  fs::path path_ = scratch_ / "model.base", partial_ = scratch_ / "model.base.partial";
};

TEST_F(EvaluationBases, what_was_written_is_read_back) {
  make();
  const EvaluationBase base = open();
  ASSERT_TRUE(base.complete());
  ASSERT_EQ(base.chunk_values(), kScored * model_->spec().hidden_size);
  for (std::uint64_t sample = 0; sample < kSamples; ++sample) {
    ASSERT_TRUE(base.holds(sample));
    std::vector<float> states(base.chunk_values());
    base.read(sample, states);
    EXPECT_EQ(states, states_of(sample, base.chunk_values()));
  }
  EXPECT_EQ(base.importance(), importance());
  // Other readers of safetensors find the same tensors.
  const SafetensorsCheckpoint file(path_);
  ASSERT_NE(file.find("states"), nullptr);
  EXPECT_EQ(file.find("states")->shape,
            (std::vector<std::uint64_t>{kSamples, kScored, model_->spec().hidden_size}));
  EXPECT_NE(file.find("importance.blk.0.attn_q.weight"), nullptr);
  const std::string first = bytes_of(path_);
  fs::remove(path_);
  make();
  EXPECT_EQ(bytes_of(path_), first);
}

TEST_F(EvaluationBases, one_that_is_not_finished_leaves_nothing) {
  {
    EvaluationBase base = open();
    EXPECT_TRUE(fs::exists(partial_));
    base.write(0, states_of(0, base.chunk_values()));
    EXPECT_THROW(open(), Error) << "a second writer";
  }
  EXPECT_TRUE(fs::is_empty(scratch_.path()));
}

TEST_F(EvaluationBases, other_contents_are_not_read) {
  make();
  const std::string kept = bytes_of(path_);
  SampleSet fewer = some_samples();
  fewer.samples.pop_back();
  SampleSet shorter = some_samples();
  shorter.ctx = kCtx - 2;
  for (std::vector<TokenId>& sample : shorter.samples) sample.resize(shorter.ctx);
  EXPECT_FALSE(open(fewer).complete());
  EXPECT_FALSE(open(shorter).complete());
  EXPECT_FALSE(open(some_samples(6)).complete()) << "other tokens";
  EXPECT_FALSE(open(some_samples(), "sha256:of another").complete());
  EXPECT_EQ(bytes_of(path_), kept) << "one that is not finished replaces nothing";
  EXPECT_TRUE(open().complete());
}

TEST_F(EvaluationBases, damage_is_noticed_and_mended) {
  make();
  const std::string kept = bytes_of(path_);
  const std::uint64_t head = 8 + [&] {
    std::uint64_t length = 0;
    std::memcpy(&length, kept.data(), sizeof length);
    return length;
  }();
  const auto flip = [](std::size_t at) {
    return [at](std::string& bytes) { bytes[at] = static_cast<char>(bytes[at] ^ 1); };
  };
  const std::vector<std::pair<const char*, std::function<void(std::string&)>>> damages = {
      {"first column", flip(head)},
      {"last state", flip(kept.size() - 1)},
      {"cut by a byte", [](std::string& bytes) { bytes.pop_back(); }},
      {"head only", [&](std::string& bytes) { bytes.resize(head); }},
      {"a byte more", [](std::string& bytes) { bytes.push_back('x'); }},
      {"padding of the header",
       [&](std::string& bytes) {
         bytes.insert(head, 8, ' ');
         bytes[0] = static_cast<char>(bytes[0] + 8);
       }},
      {"name of a tensor", flip(kept.find("\"states\"") + 1)},
  };
  for (const auto& [name, damage] : damages) {
    std::string bytes = kept;
    damage(bytes);
    write_file_atomically(path_, bytes);
    make();  // expects one that is not complete
    EXPECT_EQ(bytes_of(path_), kept) << name;
  }
}

TEST_F(EvaluationBases, what_is_no_base_is_refused_and_left_alone) {
  make();
  const std::string base = bytes_of(path_);
  std::string other = base;
  other.replace(other.find("llm-quantize evaluation base"), 3, "LLM");
  for (const std::string& bytes :
       {std::string(), std::string("text"), std::string(100, '\0'), base.substr(0, 60), other,
        bytes_of(fs::path(LLMQ_TEST_DATA) / "vectors/bad/00_valid_control.safetensors")}) {
    write_file_atomically(path_, bytes);
    try {
      open();
      ADD_FAILURE() << bytes.size() << " bytes were taken for a base";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::invalid_arguments);
      EXPECT_FALSE(error.suggestion().empty());
    }
    EXPECT_EQ(bytes_of(path_), bytes);
    EXPECT_FALSE(fs::exists(partial_));
  }
  fs::remove(path_);
  fs::create_directory(path_);
  EXPECT_THROW(open(), Error);
}

TEST(EvaluationBasePlan, sizes_that_overflow_are_refused) {
  ModelSpec spec;
  spec.hidden_size = 1U << 31;
  SampleSet samples;
  samples.ctx = std::uint64_t{1} << 40;
  samples.samples.resize(4);
  EXPECT_THROW(plan_evaluation_base(spec, samples, {}), Error);
}

}  // namespace
