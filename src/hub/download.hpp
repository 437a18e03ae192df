// A model's files from the hub into a cache. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "llmq/core/log.hpp"
#include "llmq/hub/fetch.hpp"

#include "hub/http.hpp"
#include "hub/listing.hpp"

namespace llmq::hub {

class Download {
 public:
  /// The repository's lock is held by the caller.
  Download(const Settings& settings, const ModelId& id, MakeClient make_client, Log& log,
           std::function<bool()> stop);

  /// @returns the snapshot, whole. @throws what fetch_model throws.
  std::filesystem::path run();

 private:
  Listing list();
  /// Those files whose blobs are not there.
  std::vector<RemoteFile> absent(const std::vector<RemoteFile>& files) const;
  void require_space(const std::vector<RemoteFile>& files) const;
  void fetch(const std::vector<RemoteFile>& files, ProgressBar* bar);
  void fetch_file(const RemoteFile& file, ProgressBar* bar);
  void fetch_weights(const std::vector<RemoteFile>& files);
  std::filesystem::path blob_path(const RemoteFile& file) const { return repository_ / "blobs" / file.hash; }
  [[noreturn]] void interrupted() const;

  const Settings& settings_;
  const ModelId& id_;
  MakeClient make_client_;
  Log& log_;
  std::function<bool()> stop_;
  std::filesystem::path repository_;
  std::string commit_;
  std::uint64_t done_bytes_ = 0;   ///< of finished files that came in this run, for the bar
  std::uint64_t total_bytes_ = 0;  ///< that have to come in this run, for the bar
};

}  // namespace llmq::hub
