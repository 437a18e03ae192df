// The file of --base: made while the original runs, read instead of running it again.
// docs/formats/evaluation-base.md. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "llmq/core/file.hpp"
#include "llmq/model/source.hpp"
#include "llmq/pipeline/samples.hpp"
#include "llmq/pipeline/stage_context.hpp"

#include "pipeline/evaluation_base_plan.hpp"
#include "pipeline/quality_errors.hpp"
#include "pipeline/unfinished_file.hpp"

namespace llmq {

class EvaluationBase {
 public:
  /// Collective: opens what stands at `path` if it is of this model, these samples and this arithmetic and
  /// undamaged; else begins a new file, in its place when that is a base too.
  /// @param original_hash  "sha256:...", rank 0's counts
  /// @throws Error(invalid_arguments) for what is no base, a directory that ranks do not share and ranks of
  /// different arithmetic, Error(checkpoint) while another run makes the file, Error(general) for I/O.
  EvaluationBase(const StageContext& context, std::filesystem::path path, const ModelSource& original,
                 const SampleSet& samples, std::string original_hash);

  /// True when the file was there: no sample has to go through the original.
  bool complete() const noexcept { return complete_; }
  /// True when the states of this rank's sample can be read: in a complete file, or since write().
  bool holds(std::uint64_t sample) const { return complete_ || written_.at(sample) != 0; }
  /// `states` [scored positions, hidden_size] of one of this rank's samples. Thread-safe for different ones.
  void write(std::uint64_t sample, std::span<const float> states);
  void read(std::uint64_t sample, std::span<float> states) const;
  /// Values of the states of one sample.
  std::uint64_t chunk_values() const noexcept { return plan_.chunk_values; }

  /// Collective, once all ranks have written their samples: the rest of the file, and its name.
  void finish(const ColumnImportance& importance);
  /// Of a complete base. Local.
  ColumnImportance importance() const;

 private:
  bool look() const;
  void tell_damage() const;
  bool open_and_check();
  bool samples_are_intact() const;
  void begin();
  /// @throws Error(invalid_arguments) when this rank does not see rank 0's file at `path`
  File open_shared(const std::filesystem::path& path, File::Mode mode) const;
  std::uint64_t offset_of(std::uint64_t sample) const;
  std::vector<double> read_columns() const;

  const StageContext& context_;
  std::filesystem::path path_;
  EvaluationBasePlan plan_;
  std::vector<std::uint64_t> checksums_;      ///< by sample; of samples that this rank has written
  std::vector<std::uint8_t> written_;         ///< by sample
  std::optional<UnfinishedFile> unfinished_;  ///< on rank 0, until it has its name
  File file_;
  bool complete_ = false;
};

}  // namespace llmq
