// The plan of a quantize run: type, size and offset of every tensor, and the units of work. Pure: the same
// model, level and imatrix give the same plan on every rank. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "llmq/formats/gguf_overrides.hpp"
#include "llmq/formats/gguf_split.hpp"
#include "llmq/formats/imatrix.hpp"
#include "llmq/model/source.hpp"
#include "llmq/quant/type_policy.hpp"

namespace llmq {

/// What the user changes about a level's plan.
struct PlanChanges {
  TypeRules types;
  std::vector<MetadataOverride> metadata;
  std::uint64_t split_max_bytes = 0;  ///< of a file of several; 0: one file, however large
};

/// Single weights that must decode within half precision's error, and what that asks of types.
struct Protection {
  double coverage = 0;       ///< fraction of all weights that was asked for
  std::uint64_t spikes = 0;  ///< super weights found by the spike they cause
  std::map<std::string, std::vector<std::uint64_t>>
      weights;                             ///< flat indices in GGUF's order of rows, ascending, by GGUF name
  std::map<std::string, GgmlType> raised;  ///< tensors whose type could not hold theirs: the one that does

  std::uint64_t count() const noexcept;
};

struct PlannedTensor {
  const ModelTensor* source = nullptr;
  GgmlType type = GgmlType::F32;
  std::optional<GgmlType> fallback_from;
  std::optional<GgmlType> raised_from;           ///< the type without protection
  std::vector<std::uint64_t> protected_weights;  ///< flat indices, ascending
  bool quantized = false;
  std::vector<std::vector<float>> importance;  ///< one vector of in_features values per matrix; empty: none
  std::uint32_t file = 0;                      ///< of the output
  std::uint64_t offset_bytes = 0;              ///< in that file
  std::uint64_t size_bytes = 0;
};

/// Rows [row, row + rows) of one tensor, inside one matrix of it.
struct QuantizeUnit {
  std::uint32_t tensor = 0;
  std::uint64_t row = 0;
  std::uint64_t rows = 0;
  std::uint64_t offset_bytes = 0;  ///< in the tensor's file
  std::uint64_t size_bytes = 0;
  double cost = 0;  ///< relative time, for the split over nodes
};

struct QuantizePlan {
  GgufHeader header;              ///< of all in one file: complete, offsets filled in
  std::vector<GgufShard> shards;  ///< where that file is larger than is asked for; else empty
  std::vector<PlannedTensor> tensors;
  std::vector<QuantizeUnit> units;     ///< in file order
  std::uint64_t file_bytes = 0;        ///< of all files
  std::uint64_t head_bytes = 0;        ///< of these, before tensors
  std::uint64_t split_max_bytes = 0;   ///< as asked for
  std::uint64_t chunk_elems = 0;       ///< weights of the largest unit
  std::vector<std::string> uncovered;  ///< quantized tensors without importance although an imatrix was given
  std::vector<std::string> unused_patterns;  ///< of rules that decide no tensor
};

/// What a file is to be: a type for every tensor of the model, and what the file says of how it was made.
struct PlanRecipe {
  std::string name;                          ///< "Q4_K_M", "dynamic"
  const FileLevel* level = nullptr;          ///< gives general.file_type, and which types need importance
  std::vector<TypeChoice> choices;           ///< in the order of the source's tensors
  std::vector<GgufMetadata::Pair> metadata;  ///< more keys; their size must not depend on `choices`
};

/// True for what every GGUF file keeps in F32: vectors, norms, routers and gates of experts.
bool stays_f32(const ModelTensor& tensor);
/// A tensor as mixes see it; its source_type is what the file keeps where the tensor is not quantized.
MixTensor mix_tensor(const ModelTensor& tensor);
/// The model's tensors as the mixes and the rules see them, in the same order.
std::vector<MixTensor> mix_tensors(const ModelSource& source);
MixModel mix_model(const ModelSpec& spec);
PlanRecipe recipe_of_level(const ModelSource& source, const FileLevel& level, bool has_imatrix,
                           const TypeRules& rules);

/// @throws Error(imatrix) when the imatrix does not fit or a tensor that requires one is not covered (all
/// named); Error(invalid_arguments) for metadata that must not be changed; Error(unsupported_conversion) for
/// a type that cannot be encoded yet.
QuantizePlan plan_quantize(const ModelSource& source, const Vocabulary& vocabulary, const PlanRecipe& recipe,
                           const Imatrix* imatrix, const std::string& fingerprint,
                           const PlanChanges& changes = {}, const Protection* protection = nullptr);
/// The same for a level's own mix.
QuantizePlan plan_quantize(const ModelSource& source, const Vocabulary& vocabulary, const FileLevel& level,
                           const Imatrix* imatrix, const std::string& fingerprint,
                           const PlanChanges& changes = {}, const Protection* protection = nullptr);

/// Of the files: heads, padding, and the tensors that are not quantized. With a largest size of files, what
/// the heads of any number of them take.
std::uint64_t fixed_bytes(const QuantizePlan& plan);

/// Memory of one thread that works on units of this plan.
std::uint64_t unit_scratch_bytes(const QuantizePlan& plan);

}  // namespace llmq
