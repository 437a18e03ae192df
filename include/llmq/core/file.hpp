// Files by offset: open, positional read and write, preallocation, flush, and publishing by rename.
// Everything throws Error(general) with path, offset and the system's words unless stated otherwise.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace llmq {

/// An open file descriptor; move-only. All calls are positional, so one File may serve several threads.
class File {
 public:
  /// `create` keeps what stands in the file.
  enum class Mode { read, read_write, create, create_exclusive, create_truncate, append };

  File() = default;
  /// Opens `path`. A missing file throws Error(not_found_code); every other failure Error(general).
  File(const std::filesystem::path& path, Mode mode, int not_found_code = 1);
  ~File();
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;

  bool is_open() const noexcept { return fd_ >= 0; }
  int fd() const noexcept { return fd_; }
  const std::filesystem::path& path() const noexcept { return path_; }

  std::uint64_t size() const;
  /// Fills `out` from byte `offset`; a file that ends earlier is an error.
  void read_at(std::span<std::byte> out, std::uint64_t offset) const;
  /// Writes all of `bytes` at byte `offset`.
  void write_at(std::span<const std::byte> bytes, std::uint64_t offset) const;
  /// Writes all of `bytes` at the end (Mode::append).
  void append(std::span<const std::byte> bytes) const;
  /// Reserves `bytes` on disk and sets the size, so that a full disk shows now and not hours later.
  void preallocate(std::uint64_t bytes) const;
  void truncate(std::uint64_t bytes) const;
  /// Asks the system to read a range into its cache soon. A hint; takes no memory of this process.
  void will_need(std::uint64_t offset, std::uint64_t bytes) const noexcept;
  /// Asks the system to begin bringing a range to the disk, so that a later sync() finds little left to do. A
  /// hint.
  void start_writeback(std::uint64_t offset, std::uint64_t bytes) const noexcept;
  /// Makes written data survive a power cut.
  void sync() const;
  void close();

 private:
  int fd_ = -1;
  std::filesystem::path path_;
};

/// Whole file as bytes. Files above `max_bytes` are refused before anything is allocated.
std::string read_file(const std::filesystem::path& path, std::uint64_t max_bytes, int not_found_code = 1);

/// Writes `bytes` under a temporary name beside `path`, syncs and renames: `path` is old or new, never half.
void write_file_atomically(const std::filesystem::path& path, std::string_view bytes);

/// Renames `from` to `to` and syncs the directory, so that the new name is durable.
void publish_file(const std::filesystem::path& from, const std::filesystem::path& to);

/// The same for a directory. One that stands under the new name already changes places with it at once, and
/// is then removed.
void publish_directory(const std::filesystem::path& from, const std::filesystem::path& to);

/// Bytes an unprivileged writer may still put on the file system that holds `directory`.
std::uint64_t free_disk_bytes(const std::filesystem::path& directory);

/// True if both paths lead to the same file (links and case followed), false if either is missing.
bool is_same_file(const std::filesystem::path& a, const std::filesystem::path& b) noexcept;

/// Exclusive advisory lock on a file, held until destruction. Killed processes release it.
class FileLock {
 public:
  /// @returns a lock; `owns()` is false when another process holds it.
  explicit FileLock(const std::filesystem::path& path);
  bool owns() const noexcept { return owns_; }

 private:
  File file_;
  bool owns_ = false;
};

}  // namespace llmq
