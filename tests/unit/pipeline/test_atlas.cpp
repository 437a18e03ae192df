// The error table and single changes: against direct computation, on any number of threads, stopped and taken
// up again.
#include <algorithm>
#include <cmath>
#include <random>
#include <set>

#include <gtest/gtest.h>

#include "llmq/allocate/candidates.hpp"
#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/model/requantized_source.hpp"
#include "llmq/model/tokenizer.hpp"
#include "llmq/quant/codec.hpp"

#include "pipeline/atlas_errors.hpp"
#include "pipeline/atlas_probes.hpp"
#include "pipeline/quality_evaluate.hpp"
#include "pipeline/result_journal.hpp"
#include "support/quiet_stage.hpp"
#include "support/scratch.hpp"

namespace {
using namespace llmq;
using testing_support::pebble;
using Stage = testing_support::QuietStage;
using testing_support::ScratchDirectory;

TensorImportance some_importance(std::uint64_t columns, bool with_means) {
  std::mt19937 random(5);
  TensorImportance importance;
  importance.columns.emplace_back();
  if (with_means) importance.means.emplace_back();
  for (std::uint64_t j = 0; j < columns; ++j) {
    importance.columns[0].push_back(0.5F + static_cast<float>(random() % 100) / 50);
    if (with_means) importance.means[0].push_back(static_cast<float>(random() % 100) / 100 - 0.5F);
  }
  return importance;
}

JobDirectory no_job(const Stage& stage) {
  return {stage.context, CheckpointOptions{.enabled = false, .resume = {}}, JobIdentity("test")};
}

Atlas errors_of(const Stage& stage, const ModelSource& source, std::span<const AtlasTask> tasks,
                std::uint64_t rows) {
  Atlas atlas;
  measure_errors(stage.context, source, tasks, rows, no_job(stage), atlas);
  return atlas;
}

TEST(AtlasRows, are_spread_one_a_part_and_differ_between_tensors) {
  ModelTensor tensor;
  tensor.name = "blk.0.attn_q.weight";
  tensor.ne = {256, 1000, 1, 1};
  const auto rows = sample_rows(tensor, 64);
  ASSERT_EQ(rows.size(), 64u);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_GE(rows[i], 15 * i);
    EXPECT_LT(rows[i], 1000 - 15 * (63 - i));
    if (i > 0) {
      EXPECT_GT(rows[i], rows[i - 1]);
    }
  }
  std::set<std::uint64_t> parities;
  for (const std::uint64_t row : rows) parities.insert(row % 4);
  EXPECT_EQ(parities.size(), 4u) << "a stride that keeps to some rows of a head";
  ModelTensor other = tensor;
  other.name = "blk.1.attn_q.weight";
  EXPECT_NE(sample_rows(other, 64), rows);
  for (const std::uint64_t limit : {std::uint64_t{0}, std::uint64_t{1000}, std::uint64_t{5000}}) {
    EXPECT_EQ(sample_rows(tensor, limit).size(), 1000u);
    EXPECT_EQ(sample_rows(tensor, limit)[777], 777u);
  }
}

TEST(AtlasError, is_the_expected_square_of_the_outputs_error) {
  const std::vector<float> row = {1, -2, 3}, decoded = {0.5F, -2.25F, 3.5F};
  EXPECT_DOUBLE_EQ(output_error(row, decoded, {}, {}), 0.25 + 0.0625 + 0.25);
  const std::vector<float> squares = {2, 3, 5};
  EXPECT_DOUBLE_EQ(output_error(row, decoded, squares, {}), 0.5 + 0.1875 + 1.25);
  // Inputs that are mean +- deviation, each as likely: all eight cases.
  const std::vector<float> means = {1, -0.5F, 2};
  double expected = 0;
  for (int signs = 0; signs < 8; ++signs) {
    double sum = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      const double mean = means[j], deviation = std::sqrt(squares[j] - mean * mean);
      sum += (static_cast<double>(row[j]) - decoded[j]) *
             (mean + ((signs >> j & 1) != 0 ? deviation : -deviation));
    }
    expected += sum * sum / 8;
  }
  EXPECT_NEAR(output_error(row, decoded, squares, means), expected, 1e-12);
}

TEST(AtlasErrors, equal_a_direct_computation_on_any_number_of_threads) {
  Stage stage;
  const auto source = pebble();
  const TensorImportance importance = some_importance(256, true);
  const std::vector<AtlasTask> tasks = {
      {source->find("blk.1.attn_q.weight"), &importance, nullptr, {GgmlType::Q2_K, GgmlType::IQ3_XXS}},
      {source->find("blk.2.ffn_up.weight"), nullptr, nullptr, {GgmlType::Q4_K}}};
  const Atlas two = errors_of(stage, *source, tasks, 0);
  for (const AtlasTask& task : tasks) {
    const std::uint64_t elems = task.tensor->row_elems();
    std::vector<float> rows(task.tensor->elements()), decoded(rows.size());
    source->read_rows(*task.tensor, 0, task.tensor->rows(), RowOrder::gguf, rows);
    const AtlasTensor& filled = two.tensors.at(task.tensor->name);
    EXPECT_EQ(filled.sampled_rows, task.tensor->rows());
    for (const GgmlType type : task.types) {
      std::vector<std::byte> encoded(row_bytes(type, elems) * task.tensor->rows());
      const auto columns = task.importance == nullptr ? std::span<const float>()
                                                      : std::span<const float>(importance.columns[0]);
      const auto means =
          task.importance == nullptr ? std::span<const float>() : std::span<const float>(importance.means[0]);
      encode_rows(type, rows, elems, columns, encoded);
      decode_rows(type, encoded, elems, decoded);
      double error = 0, largest = 0;
      for (std::uint64_t r = 0; r < task.tensor->rows(); ++r)
        error += output_error(std::span(rows).subspan(r * elems, elems),
                              std::span(decoded).subspan(r * elems, elems), columns, means);
      for (std::size_t i = 0; i < rows.size(); ++i)
        largest =
            std::max(largest, std::fabs(static_cast<double>(rows[i]) - static_cast<double>(decoded[i])));
      const AtlasCell& cell = *filled.find(type);
      EXPECT_NEAR(cell.error, error, 1e-9 * error) << type_name(type);
      EXPECT_DOUBLE_EQ(cell.max_error, largest);
      EXPECT_EQ(cell.bytes, encoded.size());
      EXPECT_GT(filled.power, cell.error);
    }
  }
  stage.context.threads = 1;
  EXPECT_EQ(errors_of(stage, *source, tasks, 0).content_hash(), two.content_hash());
  const Atlas sample = errors_of(stage, *source, tasks, 64);
  const AtlasTensor& some = sample.tensors.at("blk.2.ffn_up.weight");
  const AtlasTensor& all = two.tensors.at("blk.2.ffn_up.weight");
  EXPECT_EQ(some.sampled_rows, 64u);
  EXPECT_NEAR(some.cells[0].error / all.cells[0].error, 1, 0.1);
}

TEST(AtlasErrors, finished_parts_are_taken_up_and_torn_ones_are_not) {
  const Stage stage;
  const ScratchDirectory scratch;
  const auto source = pebble();
  const std::vector<AtlasTask> tasks = {
      {source->find("blk.1.attn_k.weight"), nullptr, nullptr, {GgmlType::Q2_K}},
      {source->find("blk.1.attn_v.weight"), nullptr, nullptr, {GgmlType::Q2_K}}};
  CheckpointOptions options;
  options.directory = scratch.path();
  options.continue_found = true;
  { const JobDirectory made(stage.context, options, JobIdentity("test")); }
  const JobDirectory job(stage.context, options, JobIdentity("test"));
  ASSERT_TRUE(job.resuming());
  const double known[3] = {123, 4, 0.5};
  ResultJournal(job.path(), "errors", 0).record(0, known);
  const std::filesystem::path torn = job.path() / "errors.7.0";
  write_file_atomically(torn, read_file(job.path() / "errors.0.0", 1 << 20, 1).substr(0, 24));
  Atlas atlas;
  measure_errors(stage.context, *source, tasks, 0, job, atlas);
  EXPECT_DOUBLE_EQ(atlas.tensors.at("blk.1.attn_k.weight").power, 123);
  EXPECT_DOUBLE_EQ(atlas.tensors.at("blk.1.attn_k.weight").cells[0].error, 4);
  EXPECT_NE(atlas.tensors.at("blk.1.attn_v.weight").power, 123);
}

TEST(AtlasProbes, are_those_of_the_nearest_types_and_no_pin_changes_them) {
  const auto source = pebble();
  std::vector<GgmlType> types = candidate_types(256, GgmlType::BF16);
  std::vector<AtlasTask> tasks = {{source->find("blk.1.attn_q.weight"), nullptr, nullptr, types}};
  const auto names = [](const std::vector<Probe>& probes) {
    std::vector<GgmlType> found;
    for (const Probe& probe : probes) found.push_back(probe.type);
    return found;
  };
  const std::vector<GgmlType> free = names(plan_probes(tasks, 4));
  EXPECT_EQ(free, (std::vector<GgmlType>{GgmlType::Q4_K, GgmlType::IQ2_XXS, GgmlType::IQ3_XXS}));
  tasks[0].types.insert(tasks[0].types.begin(), GgmlType::Q4_0);
  EXPECT_EQ(names(plan_probes(tasks, 4)), free);
  EXPECT_EQ(names(plan_probes(tasks, 40)), std::vector<GgmlType>()) << "layer 1 of 40 lies between";
  EXPECT_EQ(probed_layers(4), (std::vector<std::uint32_t>{0, 1, 2, 3}));
  EXPECT_EQ(probed_layers(41), (std::vector<std::uint32_t>{0, 10, 20, 30, 40}));
  EXPECT_EQ(probed_layers(1), (std::vector<std::uint32_t>{0}));
}

SampleSet some_samples(const ModelSource& source) {
  SampleSet samples;
  samples.ctx = 48;
  for (std::size_t i = 0; i < 5; ++i) {
    std::vector<TokenId> ids;
    for (std::size_t t = 0; t < samples.ctx; ++t)
      ids.push_back(static_cast<TokenId>((t * t * 29 + t * (13 + i) + 7) % source.spec().vocab_size));
    samples.samples.push_back(std::move(ids));
  }
  return samples;
}

TEST(AtlasProbes, a_change_from_its_layer_on_gives_what_the_whole_model_gives) {
  const Stage stage;
  const auto source = pebble();
  const SampleSet samples = some_samples(*source);
  const TensorImportance importance = some_importance(256, false);
  for (const auto& [name, difference] :
       std::vector<std::pair<std::string, ModelDifference>>{{"blk.2.attn_q.weight", {false, {2}, false}},
                                                            {"blk.0.ffn_gate.weight", {false, {0}, false}},
                                                            {"token_embd.weight", {true, {}, false}},
                                                            {"output.weight", {false, {}, true}}}) {
    const RequantizedSource changed(*source, {{name, {GgmlType::IQ2_XXS, &importance.columns, nullptr}}}, 2);
    const std::vector<Candidate> both = {
        {&changed, std::nullopt}, {&changed, difference}, {source.get(), ModelDifference{}}};
    const auto scores = evaluate_candidates(stage.context, samples, *source, both);
    EXPECT_EQ(scores.candidates[0].summary, scores.candidates[1].summary) << name;
    EXPECT_EQ(scores.candidates[2].summary.metrics().kld_max, 0) << "nothing differs";
    EXPECT_GT(scores.candidates[0].summary.metrics().kld.mean, 0) << name;
  }
}

TEST(AtlasProbes, samples_are_spread_over_the_text) {
  const auto source = pebble();
  SampleSet samples = some_samples(*source);
  samples.ctx = 1024;  // 4 of them are enough
  const SampleSet chosen = choose_probe_samples(samples, 4);
  EXPECT_EQ(chosen.samples.size(), 4u);
  EXPECT_EQ(chosen.samples[0], samples.samples[0]);
  EXPECT_EQ(chosen.samples[3], samples.samples[4]);
  samples.ctx = 1 << 20;
  EXPECT_EQ(choose_probe_samples(samples, 4).samples.size(), 1u);
}

TEST(RequantizedSource, is_encode_and_decode_in_either_order_of_rows) {
  const auto source = pebble();
  const ModelTensor& tensor = *source->find("blk.1.attn_q.weight");
  ASSERT_GT(tensor.permuted_heads, 0u);
  const std::uint64_t elems = tensor.row_elems();
  // A protected weight in a row that stands elsewhere in the other order.
  const std::vector<std::uint64_t> held = {1 * elems + 17};
  const RequantizedSource changed(*source, {{tensor.name, {GgmlType::IQ1_M, nullptr, &held}}});
  std::vector<float> gguf(tensor.elements()), face(tensor.elements()), original(tensor.elements());
  changed.read_rows(tensor, 0, tensor.rows(), RowOrder::gguf, gguf);
  changed.read_rows(tensor, 0, tensor.rows(), RowOrder::hugging_face, face);
  source->read_rows(tensor, 0, tensor.rows(), RowOrder::gguf, original);
  EXPECT_NE(gguf, original);
  EXPECT_LE(std::fabs(gguf[held[0]] - original[held[0]]), std::fabs(original[held[0]]) / 2048);
  const std::uint64_t half = tensor.rows() / tensor.permuted_heads / 2;
  for (std::uint64_t j = 0; j < elems; ++j)
    EXPECT_EQ(gguf[elems + j], face[half * elems + j]) << "row 1 is row half of a head there";
  EXPECT_NE(changed.fingerprint(), source->fingerprint());
}

}  // namespace
