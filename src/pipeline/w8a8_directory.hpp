// A W8A8 directory as a place: what stands in it beside the weights, whether it may be written, and how it
// gets its name. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "llmq/formats/compressed_tensors.hpp"
#include "llmq/model/hf_files.hpp"

#include "pipeline/w8a8_plan.hpp"

namespace llmq {

/// What the directory gets beside its weights, read from the model's: config.json with the quantization
/// added, tokenizer, generation settings, licence, and the index of several shards.
/// @throws Error(validation) for a configuration that is no object.
NamedTexts companion_files(const std::filesystem::path& model, const W8a8Plan& plan,
                           ActivationScales activations);

/// "MODEL-smoothquant-w8a8" in `output_dir`, or `name`. @throws Error(invalid_arguments) for a name that is
/// no plain one.
std::filesystem::path w8a8_path(const std::filesystem::path& model, const std::filesystem::path& output_dir,
                                const std::string& name);

/// Local (rank 0's business). Makes the directory above `output` if it is missing.
/// @throws Error(invalid_arguments): not writable, there already and no `force`, not a W8A8 directory that
/// could be replaced, or one that holds an input.
void require_w8a8_place(const std::filesystem::path& output, const std::vector<std::filesystem::path>& inputs,
                        bool force);

/// Local: writes the small files beside the finished weights in `partial`, removes what an earlier run may
/// have left there, checks all of it as a reader would, and gives it its name. What had the name before is
/// removed.
void publish_w8a8(const std::filesystem::path& partial, const W8a8Plan& plan, const NamedTexts& files,
                  const std::filesystem::path& output);

}  // namespace llmq
