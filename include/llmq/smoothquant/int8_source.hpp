// A model as it is after W8A8 quantization, made from another one whenever its weights are read.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "llmq/model/derived_source.hpp"
#include "llmq/quant/int8_product.hpp"

namespace llmq {

/// Weights of linear modules inside the layers: what W8A8 quantizes. Norms, biases, embeddings, the output
/// matrix and layers of experts keep their numbers.
bool is_linear_weight(const ModelTensor& tensor) noexcept;

/// Symmetric codes of some rows of a weight, a scale a row.
/// @throws Error(smoothquant) that names the weight for NaN or Inf.
void encode_weights(const ModelTensor& tensor, std::uint64_t first_row, std::span<const float> weights,
                    Int8Rows& rows);

class Int8Source final : public DerivedSource {
 public:
  /// @param input_scales  fixed scales of the inputs, by GGUF name of the weight; weights without one have
  /// dynamic scales
  explicit Int8Source(const ModelSource& source, std::map<std::string, float> input_scales = {})
      : DerivedSource(source), input_scales_(std::move(input_scales)) {}

  /// What an engine would take the weights for: code x scale.
  void read_rows(const ModelTensor& tensor, std::uint64_t row, std::uint64_t count, RowOrder order,
                 std::span<float> out) const override;
  bool has_codes(const ModelTensor& tensor) const override { return is_linear_weight(tensor); }
  void read_codes(const ModelTensor& tensor, std::uint64_t row, std::span<std::int8_t> codes,
                  std::span<float> scales) const override;
  float input_scale(const ModelTensor& tensor) const override;
  std::string fingerprint() const override;

 private:
  std::map<std::string, float> input_scales_;
};

}  // namespace llmq
