// The kinds of ModelSource, chosen by open_model.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>

#include "llmq/model/source.hpp"

namespace llmq {

std::unique_ptr<ModelSource> open_hf_source(const std::filesystem::path& directory);
std::unique_ptr<ModelSource> open_gguf_source(const std::filesystem::path& file);

}  // namespace llmq
