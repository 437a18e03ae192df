// What all fuzz targets share: bytes become files in memory, typed errors are the expected answer to
// malformed input, anything else (another exception, a sanitizer report, a giant allocation) is a finding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

#include "llmq/core/error.hpp"

namespace llmq::fuzz {

/// A file without a name on disk, readable by path while the object lives.
class MemoryFile {
 public:
  MemoryFile(const std::uint8_t* data, std::size_t size) : descriptor_(::memfd_create("fuzz", 0)) {
    if (descriptor_ < 0 || ::write(descriptor_, data, size) != static_cast<ssize_t>(size)) std::abort();
  }
  ~MemoryFile() { ::close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

/// A directory in memory for readers that look for files by name; one a process.
class MemoryDirectory {
 public:
  MemoryDirectory() {
    char name[] = "/dev/shm/llmq-fuzz-XXXXXX";
    if (::mkdtemp(name) == nullptr) std::abort();
    path_ = name;
  }
  ~MemoryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  MemoryDirectory(const MemoryDirectory&) = delete;
  MemoryDirectory& operator=(const MemoryDirectory&) = delete;
  void put(const char* name, const std::uint8_t* data, std::size_t size) const {
    std::ofstream(path_ / name, std::ios::binary)
        .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Runs `body`; a typed error is fine as long as it says something and is not our own fault.
template <typename Body>
int expect_typed_errors(Body body) {
  try {
    body();
  } catch (const InternalError&) {
    throw;
  } catch (const Error& error) {
    if (std::string(error.what()).empty()) std::abort();
  }
  return 0;
}

}  // namespace llmq::fuzz
