// A model to read: a Hugging Face directory or a GGUF file, seen as a list of tensors by their GGUF names and
// rows of f32 values. Everything downstream (quantize, analyze, quality) works on this view alone.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "llmq/core/block_types.hpp"
#include "llmq/model/forward.hpp"
#include "llmq/model/spec.hpp"
#include "llmq/model/tokenizer.hpp"

namespace llmq {

/// Order of the rows of attn_q and attn_k: rotated pairs adjacent (GGUF, architecture llama) or half a head
/// apart (Hugging Face). All other tensors have one order only.
enum class RowOrder { gguf, hugging_face };

struct ModelTensor {
  std::string name;  ///< "blk.0.attn_q.weight"
  /// Name in the checkpoint; empty for generated tensors. With "{}" in it one tensor an expert, whose number
  /// that stands for, even where this checkpoint keeps all experts in one.
  std::string source_name;
  std::int32_t layer = -1;  ///< -1 for tensors outside the layers
  std::uint32_t n_dims = 1;
  std::array<std::uint64_t, 4> ne{1, 1, 1, 1};  ///< ne[0] = in_features
  GgmlType stored_type = GgmlType::F32;         ///< number format in the source
  std::uint32_t permuted_heads = 0;  ///< heads of attn_q/attn_k whose rows GGUF reorders, 0 for others
  float offset = 0;                  ///< what was added to the stored values: 1 for Gemma's norms

  std::uint64_t row_elems() const noexcept { return ne[0]; }
  std::uint64_t rows() const noexcept { return ne[1] * ne[2] * ne[3]; }
  std::uint64_t elements() const noexcept { return rows() * row_elems(); }
  /// All rows in this type, whose blocks must divide them. @throws Error(validation).
  std::uint64_t bytes_as(GgmlType type) const { return row_bytes(type, row_elems()) * rows(); }
};

/// "experts.{}.w1.weight" of expert 3 -> "experts.3.w1.weight"; a name without "{}" is every expert's.
std::string name_of_expert(std::string_view pattern, std::uint64_t expert);

class ModelSource {
 public:
  virtual ~ModelSource() = default;
  virtual const ModelSpec& spec() const noexcept = 0;
  /// In the order of output files: tensors outside the layers first, then layer by layer.
  virtual const std::vector<ModelTensor>& tensors() const noexcept = 0;
  const ModelTensor* find(std::string_view name) const noexcept;
  /// f32 values of rows [row, row + count). Thread-safe. @throws Error(general) on I/O.
  virtual void read_rows(const ModelTensor& tensor, std::uint64_t row, std::uint64_t count, RowOrder order,
                         std::span<float> out) const = 0;
  /// Says that a tensor will be read soon, so that a disk or network can be ahead. A hint; takes no memory
  /// here.
  virtual void will_need(const ModelTensor& tensor) const noexcept = 0;
  /// True for weights stored as 8-bit codes with a scale a row, to be multiplied with 8-bit activations.
  virtual bool has_codes(const ModelTensor& /*tensor*/) const { return false; }
  /// Rows [row, row + scales.size()) of such a tensor in Hugging Face order, as CodeLoader gives them.
  /// Thread-safe.
  virtual void read_codes(const ModelTensor& tensor, std::uint64_t row, std::span<std::int8_t> codes,
                          std::span<float> scales) const;
  /// The fixed scale of its input; 0: every token has its own.
  virtual float input_scale(const ModelTensor& /*tensor*/) const { return 0; }
  virtual Vocabulary vocabulary() const = 0;
  /// Content identity of the weights and the configuration, lower-case hex; independent of paths.
  virtual std::string fingerprint() const = 0;
  /// Bytes of the model's tensors in their stored types.
  std::uint64_t stored_bytes() const;
  std::uint64_t parameter_count() const;  ///< tied embeddings counted once, generated tensors not at all
  virtual bool is_gguf() const noexcept = 0;
};

/// @throws Error(model_not_found | validation | unsupported_conversion).
std::unique_ptr<ModelSource> open_model(const std::filesystem::path& model);

/// Rows in Hugging Face order for the forward pass; the source must outlive the loader.
WeightLoader make_weight_loader(const ModelSource& source);
RowLoader make_row_loader(const ModelSource& source);
/// Null when no tensor has codes.
CodeLoader make_code_loader(const ModelSource& source);
/// Rows of the embedding table, one a token id: hidden becomes [tokens, hidden_size].
void embed_tokens(const ModelSource& source, std::span<const TokenId> ids, std::vector<float>& hidden);

class GgufMetadata;
/// general.* and architecture keys of an output file, tokenizer and provenance excluded.
void write_model_metadata(const ModelSpec& spec, std::uint64_t parameter_count, GgufMetadata& metadata);
/// 4196608 -> "4.2M" (two significant digits, units K M B T).
std::string size_label(std::uint64_t parameter_count);

}  // namespace llmq
