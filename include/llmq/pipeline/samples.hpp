// Text to token samples, by the rules of the command-line contract: documents joined by a blank line,
// tokenized at once, cut into consecutive samples of ctx tokens, token 0 of each replaced by BOS.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "llmq/core/log.hpp"
#include "llmq/model/tokenizer.hpp"

namespace llmq {

struct SampleRequest {
  std::optional<std::filesystem::path> data;  ///< .txt, .json or .jsonl; none: `builtin_text`
  std::string_view builtin_text;
  std::string builtin_name;  ///< data set name of the built-in text
  std::uint64_t ctx = 512;
  std::uint64_t max_samples = 512;
  std::uint64_t model_context = 0;  ///< ctx is lowered to this, with a note
};

struct SampleSet {
  std::vector<std::vector<TokenId>> samples;  ///< each of ctx tokens
  std::uint64_t ctx = 0;
  std::string dataset_name;  ///< base name
  std::string dataset_hash;  ///< SHA-256 of the bytes, lower-case hex
};

/// @throws Error(calibration_data): missing, empty, malformed, shorter than one sample.
SampleSet make_samples(const SampleRequest& request, const Tokenizer& tokenizer, Log& log);

/// Documents of a text file's bytes, joined by a blank line. `extension` tells the format.
std::string join_documents(std::string_view bytes, std::string_view extension, const std::string& path);

}  // namespace llmq
