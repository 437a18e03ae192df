// What an analyze run leaves: the file, and what is said of it. Rank 0's business.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "llmq/core/log.hpp"
#include "llmq/formats/imatrix.hpp"
#include "llmq/pipeline/analyze.hpp"

namespace llmq {

/// @throws Error(invalid_arguments) when the place will not do or is one of the inputs.
void require_analyze_output(const AnalyzeOptions& options, const std::filesystem::path& output);

/// Fills in the figures of the result, names gaps and what the format loses, writes result.output_path.
void publish_imatrix(const Imatrix& imatrix, const AnalyzeOptions& options, Log& log, AnalyzeResult& result);

}  // namespace llmq
