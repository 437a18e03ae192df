// A model with some weights replaced: what is left of it without them, or with others.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "llmq/model/source.hpp"

namespace llmq {

/// Coordinates in the row order that is asked for when rows are read; for tensors of one order they are the
/// same.
struct WeightPatch {
  std::string tensor;  ///< GGUF name
  std::uint64_t row = 0;
  std::uint64_t column = 0;
  float value = 0;
};

/// The source must outlive it. Thread-safe as the source is.
class PatchedSource final : public ModelSource {
 public:
  PatchedSource(const ModelSource& source, std::vector<WeightPatch> patches)
      : source_(source), patches_(std::move(patches)) {}

  const ModelSpec& spec() const noexcept override { return source_.spec(); }
  const std::vector<ModelTensor>& tensors() const noexcept override { return source_.tensors(); }
  void read_rows(const ModelTensor& tensor, std::uint64_t row, std::uint64_t count, RowOrder order,
                 std::span<float> out) const override;
  void will_need(const ModelTensor& tensor) const noexcept override { source_.will_need(tensor); }
  Vocabulary vocabulary() const override { return source_.vocabulary(); }
  /// That of the source with the patches hashed in.
  std::string fingerprint() const override;
  bool is_gguf() const noexcept override { return source_.is_gguf(); }

 private:
  const ModelSource& source_;
  std::vector<WeightPatch> patches_;
};

}  // namespace llmq
