#include "llmq/smoothquant/int8_source.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/hash.hpp"

namespace llmq {

void encode_weights(const ModelTensor& tensor, std::uint64_t first_row, std::span<const float> weights,
                    Int8Rows& rows) {
  try {
    quantize_rows_int8(weights, tensor.row_elems(), rows);
  } catch (const NotFiniteError& error) {
    throw Error(ExitCode::smoothquant,
                fmt::format("{}: the weight at row {}, column {} is not finite", tensor.name,
                            first_row + error.row(), error.column()),
                "The checkpoint may be damaged; see llm-quantize info MODEL");
  }
}

bool is_linear_weight(const ModelTensor& tensor) noexcept {
  // Experts, the shared one and their router are one set: engines want all of it coded or nothing.
  const bool of_experts = tensor.name.find("_shexp.") != std::string::npos ||
                          tensor.name.find("ffn_gate_inp") != std::string::npos;
  return tensor.layer >= 0 && tensor.n_dims == 2 && tensor.name.ends_with(".weight") && !of_experts;
}

void Int8Source::read_rows(const ModelTensor& tensor, std::uint64_t row, std::uint64_t count, RowOrder order,
                           std::span<float> out) const {
  source_.read_rows(tensor, row, count, order, out);
  if (!has_codes(tensor)) return;
  thread_local Int8Rows rows;
  encode_weights(tensor, row, out, rows);
  const std::uint64_t width = tensor.row_elems();
  for (std::uint64_t r = 0; r < count; ++r) {
    for (std::uint64_t c = 0; c < width; ++c)
      out[r * width + c] = static_cast<float>(rows.codes[r * width + c]) * rows.scales[r];
  }
}

void Int8Source::read_codes(const ModelTensor& tensor, std::uint64_t row, std::span<std::int8_t> codes,
                            std::span<float> scales) const {
  const std::uint64_t width = tensor.row_elems();
  if (codes.size() != scales.size() * width) throw InternalError("read_codes: sizes do not fit");
  thread_local std::vector<float> weights;
  thread_local Int8Rows rows;
  weights.resize(codes.size());
  source_.read_rows(tensor, row, scales.size(), RowOrder::hugging_face, weights);
  encode_weights(tensor, row, weights, rows);
  std::copy(rows.codes.begin(), rows.codes.end(), codes.begin());
  std::copy(rows.scales.begin(), rows.scales.end(), scales.begin());
}

float Int8Source::input_scale(const ModelTensor& tensor) const {
  const auto found = input_scales_.find(tensor.name);
  return found == input_scales_.end() ? 0 : found->second;
}

std::string Int8Source::fingerprint() const {
  Sha256 hash;
  hash.field("int8").field(source_.fingerprint());
  for (const auto& [name, scale] : input_scales_) {
    hash.field(name);
    hash.update(std::as_bytes(std::span(&scale, 1)));
  }
  return hash.hex();
}

}  // namespace llmq
