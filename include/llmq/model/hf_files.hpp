// A model that was read from a GGUF file as the files of a Hugging Face directory: config.json, what tensors
// are called there, and the tokenizer's files. Weights are pipeline's business.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "llmq/model/source.hpp"

namespace llmq {

/// Text of config.json, by the names of the reference implementation.
/// @param dtype  "bfloat16"
/// @throws Error(unsupported_conversion) for rotation factors that no known scaling gives.
std::string hf_config_text(const ModelSpec& spec, const Vocabulary& vocabulary, std::string_view dtype);

/// A tensor as it stands in a checkpoint: a whole one of the source, or the matrix of one expert.
struct HfTensor {
  const ModelTensor* source = nullptr;
  std::uint64_t first_row = 0, rows = 0;  ///< of the source
  std::uint32_t expert = 0;
  std::string name;                  ///< "model.layers.0.input_layernorm.weight"
  std::vector<std::uint64_t> shape;  ///< [out_features, in_features]
  float offset = 0;                  ///< of the model's values above the stored ones: 1 for Gemma's norms
};

/// Tensors of the checkpoint that `config` describes, in the source's order, experts after each other; those
/// that are generated from the configuration are left out. @throws InternalError when the configuration is of
/// another model.
std::vector<HfTensor> hf_tensors(const ModelSource& source, const std::string& config);

/// Names and contents of files.
using NamedTexts = std::vector<std::pair<std::string, std::string>>;

/// tokenizer_config.json and generation_config.json as far as the vocabulary says; for SentencePiece also
/// tokenizer.model, which has the tokens, scores and types of the vocabulary and no normalization; for
/// byte-level BPE tokenizer.json, if its pre-tokenizer is known.
NamedTexts tokenizer_files(const ModelSpec& spec, const Vocabulary& vocabulary);

/// What the tokenizer files of a directory lack of the vocabulary; empty: nothing. Local.
std::string tokenizer_difference(const std::filesystem::path& directory, const Vocabulary& vocabulary);
/// Takes the vocabulary out of a directory that tokenizer_files were written into; the settings stay. Local.
void remove_tokenizer(const std::filesystem::path& directory);

}  // namespace llmq
