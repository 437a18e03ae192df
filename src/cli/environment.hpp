// Directories that the environment names, and where they are when it does not.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

namespace llmq::cli {

/// LLM_QUANTIZE_PROFILE_DIR, else ~/.config/llm-quantize/profiles; empty without a home.
std::filesystem::path profile_directory();
/// LLM_QUANTIZE_IMATRIX_CACHE, else ~/.cache/llm-quantize/imatrix; empty without a home.
std::filesystem::path imatrix_cache_directory();

}  // namespace llmq::cli
