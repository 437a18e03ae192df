// What the hub says a repository holds, and which of it a model needs.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace llmq::hub {

struct RemoteFile {
  std::string name;  ///< a plain file name at the top of the repository
  std::uint64_t size_bytes = 0;
  std::string hash;  ///< lower-case hex: SHA-256 (64 digits) or the SHA-1 of git's blob (40)
};

struct Listing {
  std::string commit;
  std::vector<RemoteFile> files;  ///< that can be used: plain names with size and hash

  const RemoteFile* find(std::string_view name) const noexcept;
};

/// The answer to GET /api/models/ORG/NAME/revision/REVISION?blobs=true. Files below directories and names no
/// model has are left out; a needed file without size or hash is an error.
/// @throws FormatError(validation) that names `url`.
Listing parse_listing(std::string_view text, const std::string& url);

/// Configuration, tokenizer, templates and licence, and the index of the weights; not the weights.
/// @throws Error(model_not_found) when there is no config.json or no safetensors.
std::vector<RemoteFile> small_files(const Listing& listing, const std::string& repository);

/// The weights by name. @throws Error(validation) for a shard that the repository does not hold.
std::vector<RemoteFile> weight_files(const Listing& listing, const std::vector<std::string>& shards,
                                     const std::string& repository);

}  // namespace llmq::hub
