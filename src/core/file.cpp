#include "llmq/core/file.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

#include "llmq/core/checked.hpp"
#include "llmq/core/error.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void throw_io(std::string_view doing, const fs::path& path, int error) {
  std::string suggestion;
  if (error == ENOSPC || error == EDQUOT) suggestion = "Free disk space or choose another output directory";
  if (error == EFBIG) suggestion = "Raise the file size limit (ulimit -f) or choose another file system";
  if (error == EACCES || error == EROFS) suggestion = "Check the permissions of the directory";
  throw Error(ExitCode::general, fmt::format("{} {}: {}", doing, path.string(), std::strerror(error)),
              suggestion);
}

int open_flags(File::Mode mode) {
  switch (mode) {
    case File::Mode::read:
      return O_RDONLY;
    case File::Mode::read_write:
      return O_RDWR;
    case File::Mode::create:
      return O_RDWR | O_CREAT;
    case File::Mode::create_exclusive:
      return O_RDWR | O_CREAT | O_EXCL;
    case File::Mode::create_truncate:
      return O_RDWR | O_CREAT | O_TRUNC;
    case File::Mode::append:
      return O_WRONLY | O_CREAT | O_APPEND;
  }
  return O_RDONLY;
}

/// Makes a new name in the directory above `path` durable.
void sync_parent(const fs::path& path) {
  const fs::path directory = path.has_parent_path() ? path.parent_path() : fs::path(".");
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;  // some file systems refuse to open directories; the rename itself has happened
  ::fsync(fd);
  ::close(fd);
}

}  // namespace

File::File(const fs::path& path, Mode mode, int not_found_code) : path_(path) {
  fd_ = ::open(path.c_str(), open_flags(mode) | O_CLOEXEC, 0644);
  if (fd_ >= 0) return;
  if (errno == ENOENT || errno == ENOTDIR) {
    throw Error(static_cast<ExitCode>(not_found_code), fmt::format("{}: no such file", path.string()));
  }
  throw_io("open", path, errno);
}

File::~File() {
  if (fd_ >= 0) ::close(fd_);
}

File::File(File&& other) noexcept : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}

File& File::operator=(File&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = std::exchange(other.fd_, -1);
    path_ = std::move(other.path_);
  }
  return *this;
}

std::uint64_t File::size() const {
  struct stat info {};
  if (::fstat(fd_, &info) != 0) throw_io("stat", path_, errno);
  return static_cast<std::uint64_t>(info.st_size);
}

void File::read_at(std::span<std::byte> out, std::uint64_t offset) const {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t got = ::pread(fd_, out.data() + done, out.size() - done,
                                checked_cast<off_t>(checked_add(offset, done, "file offset"), "file offset"));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_io("read", path_, errno);
    if (got == 0) {
      throw Error(ExitCode::general, fmt::format("read {}: file ends at byte {}, {} bytes at {} were wanted",
                                                 path_.string(), offset + done, out.size(), offset));
    }
    done += static_cast<std::size_t>(got);
  }
}

void File::write_at(std::span<const std::byte> bytes, std::uint64_t offset) const {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t put =
        ::pwrite(fd_, bytes.data() + done, bytes.size() - done,
                 checked_cast<off_t>(checked_add(offset, done, "file offset"), "file offset"));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) throw_io("write", path_, errno);
    done += static_cast<std::size_t>(put);
  }
}

void File::append(std::span<const std::byte> bytes) const {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t put = ::write(fd_, bytes.data() + done, bytes.size() - done);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) throw_io("write", path_, errno);
    done += static_cast<std::size_t>(put);
  }
}

void File::preallocate(std::uint64_t bytes) const {
  const auto length = checked_cast<off_t>(bytes, "file size");
  if (length == 0) return truncate(0);
  while (::fallocate(fd_, 0, 0, length) != 0) {
    if (errno == EINTR) continue;
    if (errno == EOPNOTSUPP || errno == ENOSYS) return truncate(bytes);
    throw_io("reserve space for", path_, errno);
  }
  truncate(bytes);
}

void File::truncate(std::uint64_t bytes) const {
  if (::ftruncate(fd_, checked_cast<off_t>(bytes, "file size")) != 0) throw_io("resize", path_, errno);
}

void File::will_need(std::uint64_t offset, std::uint64_t bytes) const noexcept {
  ::posix_fadvise(fd_, static_cast<off_t>(offset), static_cast<off_t>(bytes), POSIX_FADV_WILLNEED);
}

void File::start_writeback(std::uint64_t offset, std::uint64_t bytes) const noexcept {
  ::sync_file_range(fd_, static_cast<off_t>(offset), static_cast<off_t>(bytes), SYNC_FILE_RANGE_WRITE);
}

void File::sync() const {
  if (::fsync(fd_) != 0) throw_io("sync", path_, errno);
}

void File::close() {
  if (fd_ < 0) return;
  const int fd = std::exchange(fd_, -1);
  if (::close(fd) != 0) throw_io("close", path_, errno);
}

std::string read_file(const fs::path& path, std::uint64_t max_bytes, int not_found_code) {
  const File file(path, File::Mode::read, not_found_code);
  const std::uint64_t size = file.size();
  if (size > max_bytes) {
    throw FormatError(ExitCode::validation, path.string(), FormatError::kNoOffset,
                      fmt::format("{} bytes exceed the limit of {}", size, max_bytes));
  }
  std::string text(static_cast<std::size_t>(size), '\0');
  file.read_at(std::as_writable_bytes(std::span(text)), 0);
  return text;
}

void write_file_atomically(const fs::path& path, std::string_view bytes) {
  fs::path temporary = path;
  temporary += ".tmp";
  try {
    File file(temporary, File::Mode::create_truncate);
    file.write_at(std::as_bytes(std::span(bytes)), 0);
    file.sync();
    file.close();
    publish_file(temporary, path);
  } catch (...) {
    std::error_code ignored;
    fs::remove(temporary, ignored);
    throw;
  }
}

void publish_file(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) throw_io("rename to", to, errno);
  sync_parent(to);
}

void publish_directory(const fs::path& from, const fs::path& to) {
  if (!fs::exists(to)) return publish_file(from, to);
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) != 0) {
    // A file system that cannot exchange names: for a moment there is none.
    fs::path old = to;
    old += ".old";
    if (::rename(to.c_str(), old.c_str()) != 0) throw_io("rename to", old, errno);
    if (::rename(from.c_str(), to.c_str()) != 0) throw_io("rename to", to, errno);
    if (::rename(old.c_str(), from.c_str()) != 0) throw_io("rename to", from, errno);
  }
  sync_parent(to);
  std::error_code error;
  fs::remove_all(from, error);
  if (error) throw_io("remove", from, error.value());
}

std::uint64_t free_disk_bytes(const fs::path& directory) {
  struct statvfs info {};
  if (::statvfs(directory.c_str(), &info) != 0) throw_io("query free space of", directory, errno);
  return checked_mul(info.f_bavail, info.f_frsize, "free disk space");
}

bool is_same_file(const fs::path& a, const fs::path& b) noexcept {
  std::error_code error;
  const bool same = fs::equivalent(a, b, error);
  return !error && same;
}

FileLock::FileLock(const fs::path& path) : file_(path, File::Mode::append) {
  owns_ = ::flock(file_.fd(), LOCK_EX | LOCK_NB) == 0;
}

}  // namespace llmq
