// A file that is on its way: its bytes under a name no reader takes for a blob, and a journal of those that
// have arrived, which another run continues after any kind of end. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <mutex>

#include "llmq/core/file.hpp"

#include "hub/intervals.hpp"

namespace llmq::hub {

/// BLOB.llmq-partial and BLOB.llmq-received beside BLOB. The journal's lines are "BEGIN END\n", appended
/// after the bytes were written; a torn last line counts for nothing. Whether bytes survived a power cut is
/// left to the content's hash.
class PartialFile {
 public:
  /// Continues what an earlier run has left of the same size, else starts anew. Space is reserved on the
  /// disk.
  PartialFile(const std::filesystem::path& blob, std::uint64_t size);

  /// Thread-safe.
  void write(std::span<const std::byte> bytes, std::uint64_t offset) const { file_.write_at(bytes, offset); }
  /// Notes that [begin, end) was written. Thread-safe.
  void received(Interval interval);

  std::uint64_t received_bytes() const;
  std::vector<Interval> missing() const;
  const File& file() const noexcept { return file_; }

  /// Forgets all that has arrived.
  void start_over();
  /// Gives the file its final name, durably.
  void publish();
  /// Takes both files away.
  void remove() noexcept;

 private:
  std::filesystem::path blob_, path_, journal_path_;
  std::uint64_t size_;
  File file_;
  File journal_;
  mutable std::mutex mutex_;
  Intervals intervals_;
};

/// Bytes of a file that still have to come, given what an earlier run has left.
std::uint64_t bytes_to_receive(const std::filesystem::path& blob, std::uint64_t size);
/// Bytes that a file still needs on the disk, given what an earlier run has left.
std::uint64_t bytes_to_reserve(const std::filesystem::path& blob, std::uint64_t size);

}  // namespace llmq::hub
