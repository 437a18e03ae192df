// A model with scales folded into its weights: the same function with smoother inputs of its products.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "llmq/model/derived_source.hpp"
#include "llmq/smoothquant/mapping.hpp"

namespace llmq {

/// What the values of a tensor are multiplied by; empty: by 1.
struct TensorScaling {
  std::vector<float> columns;  ///< [in_features], or [values] of a vector
  std::vector<float> rows;     ///< [out_features]
};

/// Of every tensor a mapping touches, norms and biases included, by GGUF name.
using Scalings = std::map<std::string, TensorScaling>;

/// Adds one mapping. Mappings of one tensor multiply: attn_v has columns from its norm and rows from the
/// value folding.
/// @param scales  [mapping.channels], positive
void fold(const SmoothMapping& mapping, const ModelSpec& spec, const std::vector<float>& scales,
          Scalings& scalings);

class SmoothedSource final : public DerivedSource {
 public:
  SmoothedSource(const ModelSource& source, Scalings scalings)
      : DerivedSource(source), scalings_(std::move(scalings)) {}

  void read_rows(const ModelTensor& tensor, std::uint64_t row, std::uint64_t count, RowOrder order,
                 std::span<float> out) const override;
  /// That of the source with the scales hashed in.
  std::string fingerprint() const override;

 private:
  Scalings scalings_;
};

}  // namespace llmq
