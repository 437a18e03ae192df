// The plan of a W8A8 directory: which tensor stands in which file at which offset, and the units of work.
// Pure: the same model and options give the same plan on every rank. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "llmq/core/dtype.hpp"
#include "llmq/formats/compressed_tensors.hpp"
#include "llmq/formats/safetensors_layout.hpp"
#include "llmq/model/source.hpp"
#include "llmq/quant/type_rules.hpp"

#include "pipeline/unit_output.hpp"

namespace llmq {

/// A tensor of the model and where its numbers go.
struct W8a8Tensor {
  const ModelTensor* source = nullptr;
  DType dtype = DType::F32;                ///< of `values`; I8: codes
  std::size_t values = 0;                  ///< index of the entry, as are the next two; of experts the first
  std::optional<std::size_t> row_scales;   ///< of codes: weight_scale
  std::optional<std::size_t> input_scale;  ///< of codes, with fixed activation scales

  bool coded() const noexcept { return row_scales.has_value(); }
};

/// Rows [row, row + rows) of one tensor.
struct W8a8Unit {
  std::uint32_t tensor = 0;
  std::uint64_t row = 0, rows = 0;
};

struct W8a8Plan {
  std::vector<SafetensorsEntry> entries;
  SafetensorsLayout layout;
  std::vector<W8a8Tensor> tensors;
  std::vector<W8a8Unit> units;
  std::vector<OutputUnit> outputs;  ///< of the units: values, then scales of the rows, then of the input
  std::uint64_t chunk_elems = 0;    ///< weights of the largest unit
};

/// Linear weights that keep their numbers, by GGUF name, and in which format.
using KeptWeights = std::map<std::string, DType>;

/// What the rules by name ask to keep. Weights that share an input are kept together: engines fuse them.
/// @param added    gets the names that no rule named but that share an input with one
/// @param unused   gets the patterns that name no linear weight
/// @throws Error(invalid_arguments) for a type that is not F32, F16 or BF16.
KeptWeights kept_weights(const ModelSource& source, const TypeRules& rules, std::vector<std::string>& added,
                         std::vector<std::string>& unused);

/// @param shard_bytes  of tensors in a file at most  @throws Error(validation) for sizes that overflow.
W8a8Plan plan_w8a8(const ModelSource& source, ActivationScales activations, const KeptWeights& kept,
                   std::uint64_t shard_bytes);

/// Memory of one thread that works on units of this plan.
std::uint64_t unit_scratch_bytes(const W8a8Plan& plan);

}  // namespace llmq
