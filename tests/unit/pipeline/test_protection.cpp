// Which weights are protected, which types hold them, and the adapter that makes them exact.
#include <algorithm>
#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "llmq/core/error.hpp"

#include "pipeline/protected_rows.hpp"
#include "pipeline/protection.hpp"
#include "pipeline/super_weight_lora.hpp"
#include "pipeline/weight_coverage.hpp"
#include "support/scratch.hpp"

namespace {
using namespace llmq;

using Indices = std::vector<std::uint64_t>;

constexpr const char* kDown = "blk.1.ffn_down.weight";  // 256 rows of 768
constexpr const char* kUp = "blk.2.ffn_up.weight";      // 768 rows of 256

class Protected : public testing::Test {
 protected:
  Protected() : source_(open_model(std::filesystem::path(LLMQ_TEST_DATA) / "pebble")) {
    for (const ModelTensor& tensor : source_->tensors()) {
      if (tensor.layer < 0 || tensor.n_dims < 2) continue;
      ImatrixEntry entry;
      entry.in_features = tensor.ne[0];
      for (std::uint64_t j = 0; j < tensor.ne[0]; ++j) entry.sum_sq.push_back(1 + static_cast<double>(j % 5));
      entry.counts = {1};
      imatrix_.entries.emplace(tensor.name, entry);
    }
    imatrix_.super_weights.searched = true;
    imatrix_.super_weights.coverage = 0.001;
  }

  StageContext context(std::size_t threads = 2) const {
    return {comm_, log_, threads, std::uint64_t{4} << 30};
  }

  Protection gather(double coverage = 0.001) const {
    return gather_protection(context(), *source_, imatrix_, coverage);
  }

  QuantizePlan plan(const char* level, const Protection* protection = nullptr) const {
    return plan_quantize(*source_, Vocabulary{}, *find_file_level(level), &imatrix_, "f00d", {}, protection);
  }

  void expect_refused(const char* words) const {
    try {
      (void)gather();
      FAIL() << "accepted: " << words;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::imatrix);
      EXPECT_THAT(error.what(), testing::HasSubstr(words));
      EXPECT_THAT(error.suggestion(), testing::HasSubstr("--identify-super-weights"));
    }
  }

  Communicator comm_ = Communicator::serial();
  mutable Log log_{LogOptions{Verbosity::quiet, false, false, "", ""}};
  std::unique_ptr<ModelSource> source_;
  Imatrix imatrix_;
};

TEST_F(Protected, spikes_and_covered_weights_count_once) {
  imatrix_.super_weights.spikes = {{kDown, 77, 300}, {kDown, 3, 5}};
  imatrix_.super_weights.covered = {{kDown, {9, 3 * 768 + 5}}, {kUp, {70000}}};
  const Protection protection = gather();
  EXPECT_EQ(protection.spikes, 2u);
  EXPECT_EQ(protection.count(), 4u);
  EXPECT_EQ(protection.weights.at(kDown), (Indices{9, 3 * 768 + 5, 77 * 768 + 300}));
  EXPECT_EQ(protection.weights.at(kUp), Indices{70000});
}

TEST_F(Protected, another_coverage_is_found_anew) {
  imatrix_.super_weights.covered = {{kDown, {9}}};
  const Protection protection = gather(0.0005);
  EXPECT_EQ(protection.weights, find_covered(context(), *source_, imatrix_, 0.0005));
  imatrix_.super_weights.searched = false;  // nobody looked: what stands there is not believed
  EXPECT_EQ(gather(0.001).weights, find_covered(context(), *source_, imatrix_, 0.001));
}

TEST_F(Protected, weights_that_the_model_does_not_have_are_refused) {
  const SuperWeights sound = imatrix_.super_weights;
  imatrix_.super_weights.spikes = {{"blk.9.ffn_down.weight", 0, 0}};
  expect_refused("blk.9.ffn_down.weight");
  imatrix_.super_weights.spikes = {{kDown, 256, 0}};
  expect_refused("[256, 0]");
  imatrix_.super_weights.spikes = {{kDown, 0, 768}};
  expect_refused("[0, 768]");
  imatrix_.super_weights = sound;
  imatrix_.super_weights.covered = {{kDown, {5, 256 * 768}}};
  expect_refused("outside the model's 196608 weights");
}

TEST_F(Protected, the_same_answers_with_any_number_of_threads) {
  const std::vector<GgmlType> types = {GgmlType::IQ2_XS, GgmlType::Q2_K, GgmlType::Q4_K, GgmlType::F16,
                                       GgmlType::F32};
  const Protection protection = gather(0.0005);
  const QuantizePlan planned = plan("Q2_K");
  std::vector<HoldQuestion> questions;
  for (const PlannedTensor& tensor : planned.tensors) {
    const auto found = protection.weights.find(tensor.source->name);
    if (found != protection.weights.end())
      questions.push_back({tensor.source, found->second, tensor.importance, types});
  }
  const auto alone = types_that_hold(context(1), *source_, questions);
  EXPECT_EQ(alone, types_that_hold(context(3), *source_, questions));
  for (const auto& answers : alone) {
    ASSERT_EQ(answers.size(), types.size());
    EXPECT_EQ(answers.back(), 1);
  }
}

TEST_F(Protected, a_tensor_is_raised_only_when_its_type_cannot) {
  imatrix_.super_weights.covered = {{kDown, {9, 1000}}};  // of different blocks
  Indices row(256);
  for (std::uint64_t j = 0; j < 256; ++j) row[j] = 5 * 256 + j;
  imatrix_.super_weights.covered[kUp] = row;  // a whole block: only half precision holds that
  Protection protection = gather();
  raise_types(context(), *source_, plan("IQ2_XS"), protection);
  EXPECT_EQ(protection.raised, (std::map<std::string, GgmlType>{{kUp, GgmlType::F16}}));

  const QuantizePlan before = plan("IQ2_XS"), after = plan("IQ2_XS", &protection);
  for (std::size_t t = 0; t < after.tensors.size(); ++t) {
    const PlannedTensor& tensor = after.tensors[t];
    EXPECT_EQ(tensor.raised_from.has_value(), tensor.source->name == kUp);
    EXPECT_EQ(tensor.raised_from.value_or(tensor.type), before.tensors[t].type);
  }
  EXPECT_EQ(after.header.metadata.integer("llm_quantize.protected_weights"), 258);
  const SuperWeightProtection described = describe_protection(after, protection);
  EXPECT_EQ(described.by_search, 2u);
  EXPECT_EQ(described.by_higher_type, 256u);
  EXPECT_EQ(described.cost_bytes, 196608 * 2 - 196608 / 256 * 74u);
}

TEST_F(Protected, pieces_hold_every_weight_once_and_no_head_is_cut) {
  const ModelTensor& query = *source_->find("blk.0.attn_q.weight");
  Indices weights;
  for (std::uint64_t index = 3; index < query.elements(); index += 4099) weights.push_back(index);
  Indices seen;
  for (const ProtectedPiece& piece : protected_pieces(query, 7, weights)) {
    EXPECT_EQ(piece.tensor, 7u);
    EXPECT_EQ(piece.row % (query.rows() / query.permuted_heads), 0u);
    for (const std::uint64_t index : piece.weights) {
      EXPECT_GE(index, piece.row * query.row_elems());
      EXPECT_LT(index, (piece.row + piece.rows) * query.row_elems());
      seen.push_back(index);
    }
  }
  EXPECT_EQ(seen, weights);
}

/// F32 values of a tensor of a GGUF file.
std::vector<float> read_tensor(const GgufFile& file, const std::string& name) {
  const GgufTensorInfo* info = file.header().find(name);
  if (info == nullptr) return {};
  std::vector<float> values(info->elements());
  file.file().read_at(std::as_writable_bytes(std::span(values)), file.data_offset(*info));
  return values;
}

TEST_F(Protected, the_adapter_adds_what_each_weight_lacks) {
  imatrix_.super_weights.covered = {{kDown, {2, 9, 768 + 9, 5 * 768 + 2, 5 * 768 + 9}},  // 3 rows, 2 columns
                                    {kUp, {256, 257, 300}}};                             // 1 row, 3 columns
  const Protection protection = gather();
  const QuantizePlan planned = plan("Q4_0", &protection);
  std::vector<MeasuredWeight> measured;
  for (std::uint32_t t = 0; t < planned.tensors.size(); ++t) {
    for (const std::uint64_t index : planned.tensors[t].protected_weights)
      measured.push_back({t, index, static_cast<float>(index), 0.25F});
  }
  const LoraPlan lora = plan_lora("llama", planned);
  const testing_support::ScratchDirectory scratch;
  write_lora(lora, planned, measured, scratch.path() / "adapter.gguf");

  const GgufFile file(scratch.path() / "adapter.gguf");
  EXPECT_EQ(file.header().metadata.string("general.type"), "adapter");
  EXPECT_EQ(file.header().metadata.string("adapter.type"), "lora");
  EXPECT_EQ(std::filesystem::file_size(scratch.path() / "adapter.gguf"), lora.file_bytes);
  for (const auto& [name, rank, indices] : {std::tuple{kDown, 2u, protection.weights.at(kDown)},
                                            std::tuple{kUp, 1u, protection.weights.at(kUp)}}) {
    const ModelTensor& tensor = *source_->find(name);
    const std::vector<float> a = read_tensor(file, std::string(name) + ".lora_a");
    const std::vector<float> b = read_tensor(file, std::string(name) + ".lora_b");
    ASSERT_EQ(a.size(), rank * tensor.ne[0]);
    ASSERT_EQ(b.size(), rank * tensor.ne[1]);
    for (std::uint64_t row = 0; row < tensor.ne[1]; ++row) {
      for (std::uint64_t column = 0; column < tensor.ne[0]; ++column) {
        float sum = 0;
        for (std::uint64_t k = 0; k < rank; ++k) sum += b[row * rank + k] * a[k * tensor.ne[0] + column];
        const std::uint64_t index = row * tensor.ne[0] + column;
        const bool held = std::binary_search(indices.begin(), indices.end(), index);
        ASSERT_EQ(sum, held ? static_cast<float>(index) - 0.25F : 0.0F)
            << name << " " << row << " " << column;
      }
    }
  }
}

}  // namespace
