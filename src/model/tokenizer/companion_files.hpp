// tokenizer_config.json, config.json and the other small files beside a tokenizer: special ids, flags,
// template. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include <nlohmann/json.hpp>

#include "llmq/model/tokenizer.hpp"

namespace llmq {

/// A JSON object file of a model directory; an empty object when it is not there. Malformed:
/// FormatError(validation).
nlohmann::json read_json_object(const std::filesystem::path& path);

/// Control and user-defined tokens that tokenizer_config.json and added_tokens.json declare.
void apply_added_tokens(const std::filesystem::path& directory, Vocabulary& vocabulary);
/// Special ids, add_bos/add_eos flags, space prefix and chat template. Call when all tokens are known.
void apply_special_settings(const std::filesystem::path& directory, Vocabulary& vocabulary);
/// True for texts such as "<pad>" or "<|im_end|>", which are control tokens even when not marked so.
bool looks_special(std::string_view text);

/// The two kinds of tokenizer files.
Vocabulary read_spm_vocabulary(const std::filesystem::path& directory, std::uint32_t vocab_size);
Vocabulary read_json_vocabulary(const std::filesystem::path& directory, std::uint32_t vocab_size);

/// "[PAD7]", type unused: what an id without a token is called. `scored`: SPM vocabularies carry scores.
void pad_vocabulary(Vocabulary& vocabulary, std::uint32_t vocab_size, bool scored);

}  // namespace llmq
