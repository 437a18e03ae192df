// A model with some tensors as they are after quantization: encoded and decoded again whenever rows are read.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "llmq/model/derived_source.hpp"

namespace llmq {

/// What becomes of one tensor.
struct Requantization {
  GgmlType type = GgmlType::F32;
  const std::vector<std::vector<float>>* importance = nullptr;  ///< one vector a matrix; null or empty: none
  /// Flat indices in GGUF's order of rows, ascending, of weights held as protect_row holds them; null: none.
  const std::vector<std::uint64_t>* protected_weights = nullptr;
};

/// What the changes point to must outlive it.
class RequantizedSource final : public DerivedSource {
 public:
  /// @param threads  that share the rows of one read
  RequantizedSource(const ModelSource& source, std::map<std::string, Requantization> changes,
                    std::size_t threads = 1)
      : DerivedSource(source), changes_(std::move(changes)), threads_(threads) {}

  void read_rows(const ModelTensor& tensor, std::uint64_t row, std::uint64_t count, RowOrder order,
                 std::span<float> out) const override;
  /// That of the source with types and importance hashed in.
  std::string fingerprint() const override;

 private:
  std::map<std::string, Requantization> changes_;
  std::size_t threads_;
};

}  // namespace llmq
