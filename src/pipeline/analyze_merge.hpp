// --merge: the statistics of other importance matrices beside those of the run, or alone. Rank 0's business.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "llmq/formats/imatrix_merge.hpp"
#include "llmq/model/source.hpp"
#include "llmq/pipeline/analyze.hpp"

namespace llmq {

/// Local. Reads the files; every entry must be a tensor of the model and have its shape.
/// @throws Error(imatrix).
std::vector<NamedImatrix> read_merge_files(const std::vector<std::filesystem::path>& files,
                                           const ModelSource& source);

/// Local, before the pass: what merging with a run of this method and identity would refuse.
/// @throws Error(imatrix).
void require_mergeable_with(const std::vector<NamedImatrix>& files, const std::string& method,
                            const std::string& model_hash, const std::string& tokenizer_hash);

/// Local. The sum; what was left out becomes warnings.
Imatrix merge_and_tell(std::vector<NamedImatrix> files, Log& log);

/// Collective: the files of options.merge alone, written to result.output_path. The model is opened to check
/// names and sizes; nothing is computed.
void run_merge(const StageContext& context, const AnalyzeOptions& options, AnalyzeResult& result);

}  // namespace llmq
