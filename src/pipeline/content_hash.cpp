#include "pipeline/content_hash.hpp"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "llmq/core/file.hpp"
#include "llmq/core/hash.hpp"
#include "llmq/formats/gguf_split.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPieceBytes = std::size_t{4} << 20;

/// Regular files of a directory by name.
std::vector<fs::path> files_of(const fs::path& directory) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

/// Tokenizer, templates and settings: what stands beside the weights and may reach a result.
std::vector<fs::path> texts_beside_weights(const fs::path& directory) {
  std::vector<fs::path> files = files_of(directory);
  std::erase_if(files, [](const fs::path& file) {
    const std::string extension = file.extension().string();
    return extension != ".json" && extension != ".model" && extension != ".txt" && extension != ".jinja";
  });
  return files;
}

/// All files of a GGUF model, or the one file.
std::string hash_files(const fs::path& path, ExitCode code) {
  const std::vector<fs::path> files = gguf_files(path);
  if (files.size() == 1) return hash_file(path, code);
  Sha256 hash;
  for (const fs::path& file : files) hash.field(hash_file(file, code));
  return hash.hex();
}

}  // namespace

std::string hash_file(const fs::path& path, ExitCode code) {
  if (fs::is_directory(path))
    throw Error(code, fmt::format("{}: is a directory, a file was expected", path.string()));
  const File file(path, File::Mode::read, static_cast<int>(code));
  const std::uint64_t size = file.size();
  Sha256 hash;
  std::vector<std::byte> piece;
  for (std::uint64_t at = 0; at < size; at += piece.size()) {
    piece.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kPieceBytes, size - at)));
    file.read_at(piece, at);
    hash.update(piece);
  }
  return hash.hex();
}

std::string hash_model(const ModelSource& source, const fs::path& path) {
  if (!fs::is_directory(path)) return hash_files(path, ExitCode::model_not_found);
  Sha256 hash;
  hash.field(source.fingerprint());
  for (const fs::path& file : texts_beside_weights(path))
    hash.field(file.filename().string()).field(hash_file(file, ExitCode::model_not_found));
  return hash.hex();
}

std::string hash_output(const fs::path& path, ExitCode code) {
  if (!fs::is_directory(path)) return hash_files(path, code);
  Sha256 hash;
  for (const fs::path& file : files_of(path))
    hash.field(file.filename().string()).field(hash_file(file, code));
  return hash.hex();
}

std::uint64_t output_bytes(const fs::path& path) {
  std::uint64_t bytes = 0;
  for (const fs::path& file : fs::is_directory(path) ? files_of(path) : gguf_files(path))
    bytes += fs::file_size(file);
  return bytes;
}

}  // namespace llmq
