// What the environment says, and what holds when it does not.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

namespace llmq::cli {

/// LLM_QUANTIZE_PROFILE_DIR, else ~/.config/llm-quantize/profiles; empty without a home.
std::filesystem::path profile_directory();
/// LLM_QUANTIZE_IMATRIX_CACHE, else ~/.cache/llm-quantize/imatrix; empty without a home.
std::filesystem::path imatrix_cache_directory();

/// LLM_QUANTIZE_QUALITY_THRESHOLD, else 20: percent that perplexity may rise.
/// @throws Error(invalid_arguments) for what is no percentage.
double quality_threshold_pct();
/// LLM_QUANTIZE_COHERENCE_THRESHOLD, else 0.5: score below which a file is not coherent.
/// @throws Error(invalid_arguments) for what is no number in [0, 1].
double coherence_threshold();

}  // namespace llmq::cli
