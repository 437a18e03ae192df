#include <cmath>
#include <random>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>

#include "llmq/core/block_types.hpp"
#include "llmq/core/file.hpp"
#include "llmq/core/hash.hpp"
#include "llmq/formats/checkpoint_store.hpp"
#include "llmq/formats/imatrix.hpp"
#include "llmq/quant/codec.hpp"

#include "pipeline/quantize_journal.hpp"
#include "scale/measure.hpp"

namespace llmq::scale {
namespace {

constexpr int kRepetitions = 5;
constexpr std::uint64_t kWeights = std::uint64_t{1} << 20;  // a unit
constexpr std::uint64_t kUnits = 32;
namespace fs = std::filesystem;

void measure_encoders(Costs& costs) {
  std::vector<float> weights(kWeights);
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0F, 0.02F);
  for (float& weight : weights) weight = normal(random);
  constexpr std::uint64_t kRow = 4096;
  for (const GgmlType type : {GgmlType::Q4_K, GgmlType::Q5_K, GgmlType::Q6_K, GgmlType::Q8_0, GgmlType::Q4_0,
                              GgmlType::F16, GgmlType::BF16}) {
    std::vector<std::byte> out(row_bytes(type, kRow) * (kWeights / kRow));
    costs.encode_weight[std::string(type_name(type))] =
        best_cpu_seconds(kRepetitions, [&] { encode_rows(type, weights, kRow, {}, out); }) / kWeights;
  }
  // As the units look: no early exit and a local flag, so that the loop becomes vector code.
  bool all_sound = true;
  costs.check_weight = best_cpu_seconds(kRepetitions,
                                        [&] {
                                          bool sound = true;
                                          for (const float weight : weights)
                                            sound &= std::fabs(weight) <= std::numeric_limits<float>::max();
                                          all_sound = all_sound && sound;
                                        }) /
                       kWeights;
  if (!all_sound) throw InternalError("weights are not finite");
}

/// As the units do it: pieces of a unit's size, a file reserved before, pages not touched before.
void measure_file(const fs::path& path, Costs& costs) {
  std::vector<std::byte> unit(kWeights * 2, std::byte{1});
  const double bytes = static_cast<double>(unit.size() * kUnits);
  costs.write_byte = costs.verify_byte = costs.sync_byte = std::numeric_limits<double>::max();
  for (int repetition = 0; repetition < kRepetitions; ++repetition) {
    const File file(path, File::Mode::create_truncate);
    file.preallocate(unit.size() * kUnits);
    const auto each = [&](auto&& call) {
      return best_cpu_seconds(1,
                              [&] {
                                for (std::uint64_t i = 0; i < kUnits; ++i) call(i * unit.size());
                              }) /
             bytes;
    };
    costs.write_byte =
        std::min(costs.write_byte, each([&](std::uint64_t offset) { file.write_at(unit, offset); }));
    costs.sync_byte = std::min(costs.sync_byte, best_wall_seconds(1, [&] { file.sync(); }) / bytes);
    const File reader(path, File::Mode::read);
    costs.verify_byte = std::min(costs.verify_byte, each([&](std::uint64_t offset) {
                                   std::vector<std::byte> back(unit.size());
                                   reader.read_at(back, offset);
                                   if (checksum64(back) == 0) throw InternalError("no checksum");
                                 }));
    file.write_at(std::span(unit).first(8), 0);
    const double small = best_wall_seconds(1, [&] { file.sync(); });
    costs.sync = repetition == 0 ? small : std::min(costs.sync, small);
  }
  costs.sync_byte = std::max(0.0, costs.sync_byte - costs.sync / bytes);
  costs.checksum_byte = best_cpu_seconds(kRepetitions,
                                         [&] {
                                           if (checksum64(unit) == 0) unit[0] = std::byte{2};
                                         }) /
                        static_cast<double>(unit.size());
  fs::remove(path);
}

void measure_journal(const fs::path& directory, Costs& costs) {
  constexpr std::uint64_t kRecords = 5000;
  QuantizeJournal journal(directory, 0);
  costs.journal_record = best_cpu_seconds(kRepetitions,
                                          [&] {
                                            for (std::uint64_t unit = 0; unit < kRecords; ++unit)
                                              journal.record(unit, unit);
                                          }) /
                         kRecords;
}

void measure_generation(const fs::path& path, Costs& costs) {
  constexpr std::uint64_t kSamples = 8;
  AnalyzeCheckpoint checkpoint;
  checkpoint.generation = 1;
  checkpoint.sample_progress.assign(kSamples, 1);
  checkpoint.state_elems = kWeights;
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> state(kWeights);
  for (float& value : state) value = normal(random);
  std::vector<std::uint64_t> samples;
  for (std::uint64_t i = 0; i < kSamples; ++i) samples.push_back(i);
  const auto write = [&] {
    if (!write_analyze_checkpoint(path, nullptr, checkpoint, samples, [&](std::uint64_t) {
           return std::span<const float>(state);
         }).empty()) {
      throw Error(ExitCode::general, "no room for a checkpoint");
    }
  };
  costs.checkpoint_byte = best_cpu_seconds(3, write) / static_cast<double>(kSamples * kWeights * 4);
  fs::remove(path);
}

void measure_imatrix(const fs::path& path, Costs& costs) {
  constexpr std::uint64_t kColumns = 4096;
  constexpr int kEntries = 64;
  Imatrix imatrix;
  std::mt19937 random(1);
  std::uniform_real_distribution<double> uniform;
  for (int i = 0; i < kEntries; ++i) {
    ImatrixEntry& entry = imatrix.entries[fmt::format("blk.{}.attn_q.weight", i)];
    entry.in_features = kColumns;
    for (std::uint64_t k = 0; k < kColumns; ++k) {
      for (auto* values : {&entry.sum_sq, &entry.sum, &entry.sum_quad}) values->push_back(uniform(random));
      entry.max_abs.push_back(1);
    }
    entry.counts = {1};
  }
  costs.imatrix_value = best_cpu_seconds(3,
                                         [&] {
                                           if (imatrix.content_hash().empty()) throw InternalError("no hash");
                                           write_imatrix_hdf5(imatrix, path);
                                         }) /
                        static_cast<double>(kColumns * kEntries);
  fs::remove(path);
}

}  // namespace

void measure_local(const fs::path& work, Costs& costs) {
  const fs::path mine = work / fmt::format("costs.{}", ::getpid());
  fs::create_directories(mine);
  measure_encoders(costs);
  measure_file(mine / "data", costs);
  measure_journal(mine, costs);
  measure_generation(mine / "generation.h5", costs);
  measure_imatrix(mine / "a.imatrix", costs);
  fs::remove_all(mine);
}

}  // namespace llmq::scale
