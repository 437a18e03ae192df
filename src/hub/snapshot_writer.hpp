// Snapshots and references: how a finished download becomes visible. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "llmq/hub/id.hpp"

#include "hub/listing.hpp"

namespace llmq::hub {

/// Directories of a repository in the cache. @throws Error(invalid_arguments) when they cannot be made.
void make_repository(const std::filesystem::path& repository);

/// Links the files, all of whose blobs are there, into snapshots/COMMIT; what readers open first comes last.
/// @returns the snapshot
std::filesystem::path link_snapshot(const std::filesystem::path& repository, const Listing& listing,
                                    const std::vector<RemoteFile>& files);

/// Notes which commit the revision stands for. Last of all.
void write_reference(const std::filesystem::path& repository, const ModelId& id, const std::string& commit);

}  // namespace llmq::hub
