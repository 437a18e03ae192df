// tokenizer.json of byte-level BPE, written from what a GGUF file says; vocabulary_json.cpp reads it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "llmq/model/tokenizer.hpp"

namespace llmq {

/// Member of tokenizer_config.json beside a tokenizer.json that was made from a GGUF file: the id of the
/// pre-tokenizer, as several have the same expressions. "special" then tells the types of added tokens
/// exactly.
inline constexpr const char* kPreTokenizerMember = "llm_quantize_pre_tokenizer";

/// Text of tokenizer.json. Normalization is that of the pre-tokenizer's models, which no GGUF file keeps.
/// `vocabulary.pre` must be one of the table.
std::string tokenizer_json_text(const Vocabulary& vocabulary);

/// A merge whose parts or whole are no tokens, which readers refuse; empty: none.
std::string unusable_merge(const Vocabulary& vocabulary);

}  // namespace llmq
