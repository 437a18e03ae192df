// What an analyze run leaves: the file, a report, and what is said of it. Rank 0's business.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "llmq/core/log.hpp"
#include "llmq/formats/imatrix.hpp"
#include "llmq/model/spec.hpp"
#include "llmq/pipeline/analyze.hpp"

namespace llmq {

/// Before work starts. @throws Error(invalid_arguments) when the place of the file or of the report will not
/// do or is one of the inputs; a report neither replaces the file nor anything inside a model directory.
void require_analyze_output(const AnalyzeOptions& options, const std::filesystem::path& output);

/// Fills in the figures of the result, names gaps and what the format loses, writes result.output_path.
void publish_imatrix(const Imatrix& imatrix, const AnalyzeOptions& options, Log& log, AnalyzeResult& result);

/// After the imatrix: writes options.report, if one is asked for; its extension decides the form.
void publish_report(const Imatrix& imatrix, const ModelSpec& spec, const AnalyzeOptions& options,
                    AnalyzeResult& result);

}  // namespace llmq
