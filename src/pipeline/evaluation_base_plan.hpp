// What an evaluation base holds and where: a safetensors file of the original's final hidden states at the
// scored positions, with the importance of its weights' columns. docs/formats/evaluation-base.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "llmq/formats/safetensors.hpp"
#include "llmq/model/spec.hpp"
#include "llmq/pipeline/samples.hpp"

namespace llmq {

/// What the states follow from, beside the program's version and the size of the samples.
struct BaseIdentity {
  std::string original;    ///< "sha256:..." of the model
  std::string tokens;      ///< "sha256:..." of the samples' token ids
  std::string arithmetic;  ///< libraries, kind of CPU and products, which decide the last bits
};

/// "sha256:..." of all token ids, 32-bit little-endian.
std::string hash_tokens(const SampleSet& samples);

/// Columns of one weight.
struct BaseColumns {
  std::string weight;  ///< GGUF name
  std::uint64_t count = 0;
};

/// All of the file but its data. Equal heads: the same contents at the same places.
struct EvaluationBasePlan {
  SafetensorsMetadata metadata;
  std::string head;  ///< the file's first bytes
  std::uint64_t file_bytes = 0;
  std::uint64_t chunk_values = 0;             ///< of one sample: scored positions x hidden_size
  std::uint64_t states_offset = 0;            ///< f32 [chunks, scored positions, hidden_size]
  std::uint64_t checksums_offset = 0;         ///< u64 [chunks]: checksum64 of each sample's states
  std::uint64_t columns_offset = 0;           ///< f64, one weight after the other
  std::uint64_t columns_checksum_offset = 0;  ///< u64 [1]: checksum64 of all columns
  std::vector<BaseColumns> columns;
};

/// @throws Error(validation) for sizes that overflow
EvaluationBasePlan plan_evaluation_base(const ModelSpec& spec, const SampleSet& samples,
                                        const BaseIdentity& identity);

/// True when size and first bytes are those of the plan.
bool is_planned_file(const File& file, const EvaluationBasePlan& plan);

/// What stands at a path where a base is wanted, by its head and size.
enum class BaseFit { none, same, other_contents, damaged };
struct FoundBase {
  BaseFit fit = BaseFit::none;
  std::string differing;  ///< of other contents: the members of the metadata that differ, "ctx, tokens"
};

/// @throws Error(invalid_arguments) when something stands there that is no evaluation base of any version.
FoundBase inspect_evaluation_base(const std::filesystem::path& path, const EvaluationBasePlan& plan);

}  // namespace llmq
