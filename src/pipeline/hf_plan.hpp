// The plan of a Hugging Face directory: which tensor stands in which file at which offset in which number
// format, and the units of work. Pure: the same model gives the same plan on every rank.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "llmq/core/dtype.hpp"
#include "llmq/formats/safetensors_layout.hpp"
#include "llmq/model/hf_files.hpp"

#include "pipeline/unit_output.hpp"

namespace llmq {

struct HfPlannedTensor {
  HfTensor tensor;
  DType dtype = DType::F32;
};

/// Rows [row, row + rows) of a tensor's source.
struct HfUnit {
  std::uint32_t tensor = 0;
  std::uint64_t row = 0, rows = 0;
};

struct HfPlan {
  std::vector<HfPlannedTensor> tensors;  ///< as the entries of the layout
  SafetensorsLayout layout;
  std::vector<HfUnit> units;
  std::vector<OutputUnit> outputs;  ///< of the units
  std::uint64_t chunk_elems = 0;    ///< weights of the largest unit
};

/// The number format of the directory: that of most weights of the source, F16 where they are quantized.
DType main_dtype(const ModelSource& source);

/// Weights keep the format they have, quantized ones become `main`. Vectors and routers, which GGUF files
/// hold in F32 whatever the model was in, become `main` where that is exact for all of their values.
/// @param asked  the format of all tensors instead  @param shard_bytes  of tensors in a file at most
HfPlan plan_hf(const ModelSource& source, const std::vector<HfTensor>& tensors, DType main,
               std::optional<DType> asked, std::uint64_t shard_bytes);

/// Memory of one thread that works on units of this plan.
std::uint64_t unit_scratch_bytes(const HfPlan& plan);

}  // namespace llmq
