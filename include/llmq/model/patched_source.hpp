// A model with some weights replaced: what is left of it without them, or with others.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "llmq/model/derived_source.hpp"

namespace llmq {

/// Coordinates in the row order that is asked for when rows are read; for tensors of one order they are the
/// same.
struct WeightPatch {
  std::string tensor;  ///< GGUF name
  std::uint64_t row = 0;
  std::uint64_t column = 0;
  float value = 0;
};

class PatchedSource final : public DerivedSource {
 public:
  PatchedSource(const ModelSource& source, std::vector<WeightPatch> patches)
      : DerivedSource(source), patches_(std::move(patches)) {}

  void read_rows(const ModelTensor& tensor, std::uint64_t row, std::uint64_t count, RowOrder order,
                 std::span<float> out) const override;
  /// That of the source with the patches hashed in.
  std::string fingerprint() const override;

 private:
  std::vector<WeightPatch> patches_;
};

}  // namespace llmq
