// The doors of importance matrix files: a row a format; its name stands in formats/imatrix.cpp.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/formats/gguf.hpp"
#include "llmq/formats/imatrix.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

constexpr char kHdf5Magic[8] = {'\x89', 'H', 'D', 'F', '\r', '\n', '\x1a', '\n'};

bool has_hdf5_magic(const fs::path& path) noexcept {
  try {
    const File file(path, File::Mode::read);
    char magic[8] = {};
    if (file.size() < sizeof magic) return false;
    file.read_at(std::as_writable_bytes(std::span(magic)), 0);
    return std::memcmp(magic, kHdf5Magic, sizeof magic) == 0;
  } catch (const std::exception&) {
    return false;
  }
}

bool is_gguf_imatrix(const fs::path& path) noexcept {
  try {
    return has_gguf_magic(path) && GgufFile(path).header().metadata.string("general.type") == "imatrix";
  } catch (const std::exception&) {
    return false;
  }
}

bool no_other_magic(const fs::path& /*path*/) noexcept { return true; }

/// In the order they are tried; the last one has no magic and takes what is left.
struct FormatRow {
  ImatrixFileFormat format;
  bool (*has_magic)(const fs::path&) noexcept;
  bool (*is_imatrix)(const fs::path&) noexcept;  ///< of a file with that magic
  Imatrix (*read)(const fs::path&);
  void (*write)(const Imatrix&, const fs::path&);
};

constexpr FormatRow kFormats[] = {
    {ImatrixFileFormat::hdf5, has_hdf5_magic, has_hdf5_magic, read_imatrix_hdf5, write_imatrix_hdf5},
    {ImatrixFileFormat::gguf, has_gguf_magic, is_gguf_imatrix, read_imatrix_gguf, write_imatrix_gguf},
    {ImatrixFileFormat::dat, no_other_magic, looks_like_imatrix_dat, read_imatrix_dat, write_imatrix_dat},
};

const FormatRow& row_of(const fs::path& path) noexcept {
  return *std::find_if(std::begin(kFormats), std::end(kFormats) - 1,
                       [&](const FormatRow& row) { return row.has_magic(path); });
}

const FormatRow& row_of(ImatrixFileFormat format) {
  for (const FormatRow& row : kFormats) {
    if (row.format == format) return row;
  }
  throw InternalError("an imatrix format has no row");
}

}  // namespace

bool looks_like_imatrix(const fs::path& path) noexcept { return row_of(path).is_imatrix(path); }

Imatrix read_imatrix(const fs::path& path) {
  if (!fs::is_regular_file(path)) {
    throw Error(ExitCode::imatrix, fmt::format("{}: no such importance matrix", path.string()),
                "Make one with: llm-quantize analyze MODEL");
  }
  return row_of(path).read(path);
}

void write_imatrix(const Imatrix& imatrix, const fs::path& path, ImatrixFileFormat format) {
  row_of(format).write(imatrix, path);
}

}  // namespace llmq
