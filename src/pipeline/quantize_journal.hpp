// Which units of a quantize run are in the .partial file, and with what checksum. One append-only file a rank
// and start; torn or foreign records are ignored, because every claim is checked against the data before it
// counts. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>

#include "llmq/core/file.hpp"

namespace llmq {

class QuantizeJournal {
 public:
  /// Opens a new file journal.<start>.<rank> in `directory`. No directory: keeps records in memory only.
  QuantizeJournal(const std::optional<std::filesystem::path>& directory, int rank);
  /// Thread-safe.
  void record(std::uint64_t unit, std::uint64_t checksum);
  const std::map<std::uint64_t, std::uint64_t>& records() const noexcept { return records_; }

  /// Unit -> checksum as claimed by all journal files of a directory.
  static std::map<std::uint64_t, std::uint64_t> read_all(const std::filesystem::path& directory);

 private:
  std::mutex mutex_;
  File file_;
  std::map<std::uint64_t, std::uint64_t> records_;
};

}  // namespace llmq
