// The files of a quantize run as names: one, or a set of shards; unfinished, and published.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <vector>

#include "llmq/pipeline/quantize.hpp"
#include "llmq/pipeline/quantize_plan.hpp"

#include "pipeline/unit_output.hpp"

namespace llmq {

struct QuantizeFiles {
  std::vector<std::filesystem::path> finished;  ///< the first is the one to be opened
  std::vector<std::filesystem::path> partial;   ///< in the same order
};

/// @param output  of a plan of one file; STEM.gguf becomes STEM-00001-of-0000N.gguf otherwise
QuantizeFiles quantize_files(const QuantizePlan& plan, const std::filesystem::path& output);
/// The unfinished files and their first bytes.
std::vector<OutputFile> output_files(const QuantizePlan& plan, const QuantizeFiles& files);
/// For results; empty for a file alone.
std::vector<OutputShard> describe_shards(const QuantizePlan& plan, const QuantizeFiles& files);

/// Local (rank 0's business), before the plan is known: what has the name of a set that --split-max-size
/// makes, whatever the number of its files.
/// @param inputs   none of which may be overwritten
/// @param resumed  a set without its first file may be one that was being published
/// @throws Error(invalid_arguments): there is one and no `force`, or it is an input.
void require_free_stem(const std::filesystem::path& output, const std::vector<std::filesystem::path>& inputs,
                       bool force, bool resumed);

/// Local (rank 0's business). The first file of a set gets its name last, and an earlier one loses it before
/// any other does: who opens it finds the files of one set, or none. What else had the names of a set with
/// this stem is removed.
void publish_files(const QuantizePlan& plan, const QuantizeFiles& files);

}  // namespace llmq
