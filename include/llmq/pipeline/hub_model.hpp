// Models given by hub id, as the local directories that all stages work with.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "llmq/pipeline/stage_context.hpp"

namespace llmq {

/// Collective: where `model` is. For everything but a hub id that is `model` itself, without a word between
/// ranks. A hub id is looked up, and downloaded if need be, by rank 0 alone while the others sleep.
/// @throws what hub::fetch_model throws; Error(model_not_found) when a rank does not see rank 0's files.
std::filesystem::path local_model(const StageContext& context, const std::filesystem::path& model);

/// Local, without network: the snapshot of a hub id that a cache holds whole, else `model` itself.
std::filesystem::path cached_or_same(const std::filesystem::path& model);

}  // namespace llmq
