// A file that gets its name when it is complete, and is gone when that never happens.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>

#include "llmq/core/file.hpp"

namespace llmq {

/// NAME.partial, locked against other runs; removed at the end of its life unless it was published.
class UnfinishedFile {
 public:
  /// Reserves `bytes`, in place of what a run that was killed has left.
  /// @throws Error(checkpoint) while another run writes it, Error(general) for a full disk.
  UnfinishedFile(std::filesystem::path name, std::uint64_t bytes);
  ~UnfinishedFile();
  UnfinishedFile(const UnfinishedFile&) = delete;
  UnfinishedFile& operator=(const UnfinishedFile&) = delete;

  /// What a file is called until then.
  static std::filesystem::path partial_name(std::filesystem::path name);
  /// Gives the file its name, in place of what had it.
  void publish();

 private:
  std::filesystem::path name_, partial_;
  FileLock lock_;
  bool published_ = false;
};

}  // namespace llmq
