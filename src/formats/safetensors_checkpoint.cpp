#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "llmq/core/checked.hpp"
#include "llmq/core/error.hpp"
#include "llmq/core/hash.hpp"
#include "llmq/core/json.hpp"
#include "llmq/formats/safetensors.hpp"

#include "formats/safetensors_header.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::uint64_t kMaxIndexBytes = std::uint64_t{256} << 20;
constexpr std::uint64_t kSampleBytes = 4096;
constexpr int kNotFound = static_cast<int>(ExitCode::model_not_found);

/// Tensor name -> shard file name.
std::map<std::string, std::string> read_index(const fs::path& path) {
  const json document =
      parse_json_strict(read_file(path, kMaxIndexBytes, kNotFound), path.string(), ExitCode::validation);
  const auto fail = [&](std::string reason) {
    throw FormatError(ExitCode::validation, path.string(), FormatError::kNoOffset, std::move(reason));
  };
  if (!document.is_object() || !document.contains("weight_map") || !document["weight_map"].is_object() ||
      document["weight_map"].empty()) {
    fail("has no weight_map");
  }
  std::map<std::string, std::string> map;
  for (const auto& [tensor, shard] : document["weight_map"].items()) {
    if (!shard.is_string()) fail(fmt::format("shard of tensor {} is not a string", tensor));
    const auto name = shard.get<std::string>();
    if (name.empty() || name.find('/') != std::string::npos || name.find('\\') != std::string::npos ||
        name == "." || name == ".." || name.find('\0') != std::string::npos) {
      fail(fmt::format("shard name \"{}\" of tensor {} is not a plain file name", name, tensor));
    }
    map[tensor] = name;
  }
  return map;
}

File open_shard(const fs::path& path) {
  if (!fs::exists(path)) {
    throw Error(ExitCode::model_not_found, fmt::format("{}: shard is missing", path.string()),
                "The checkpoint is incomplete; fetch it again");
  }
  return File(path, File::Mode::read, kNotFound);
}

}  // namespace

SafetensorsCheckpoint::SafetensorsCheckpoint(const fs::path& path) {
  std::map<std::string, std::string> map;
  std::vector<fs::path> files;
  fs::path index;
  if (fs::is_regular_file(path)) {
    if (path.filename().string().ends_with(".index.json"))
      index = path;
    else
      files.push_back(path);
  } else if (fs::exists(path / "model.safetensors.index.json")) {
    index = path / "model.safetensors.index.json";
  } else if (fs::exists(path / "model.safetensors")) {
    files.push_back(path / "model.safetensors");
  } else {
    throw Error(ExitCode::model_not_found,
                fmt::format("{}: neither model.safetensors nor model.safetensors.index.json", path.string()),
                "MODEL must be a Hugging Face directory with *.safetensors weights");
  }
  if (!index.empty()) {
    map = read_index(index);
    std::vector<std::string> names;
    for (const auto& [tensor, shard] : map) names.push_back(shard);
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    for (const std::string& name : names) files.push_back(index.parent_path() / name);
  }
  for (const fs::path& file : files) {
    shards_.push_back(open_shard(file));
    for (SafetensorsTensor& tensor : read_safetensors_header(shards_.back())) {
      tensor.shard = shards_.size() - 1;
      const auto mapped = map.find(tensor.name);
      if (!index.empty() && (mapped == map.end() || mapped->second != file.filename().string())) {
        // A tensor may stand in a second shard under a tied name; the index decides which one counts.
        if (mapped != map.end()) continue;
        throw FormatError(ExitCode::validation, file.string(), FormatError::kNoOffset,
                          fmt::format("tensor {} is not in the index", tensor.name));
      }
      tensors_.push_back(std::move(tensor));
    }
  }
  std::sort(tensors_.begin(), tensors_.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  for (const auto& [tensor, shard] : map) {
    if (find(tensor) == nullptr) {
      throw FormatError(ExitCode::validation, index.string(), FormatError::kNoOffset,
                        fmt::format("tensor {} is not in shard {}", tensor, shard));
    }
  }
}

const SafetensorsTensor* SafetensorsCheckpoint::find(std::string_view name) const noexcept {
  const auto found = std::lower_bound(
      tensors_.begin(), tensors_.end(), name,
      [](const SafetensorsTensor& tensor, std::string_view key) { return tensor.name < key; });
  return found != tensors_.end() && found->name == name ? &*found : nullptr;
}

void SafetensorsCheckpoint::read(const SafetensorsTensor& tensor, std::uint64_t begin,
                                 std::span<std::byte> out) const {
  if (begin > tensor.size_bytes || out.size() > tensor.size_bytes - begin) {
    throw InternalError(fmt::format("read past the end of tensor {}", tensor.name));
  }
  shards_[tensor.shard].read_at(out, tensor.offset_bytes + begin);
}

std::uint64_t SafetensorsCheckpoint::total_bytes() const noexcept {
  std::uint64_t total = 0;
  for (const SafetensorsTensor& tensor : tensors_) total += tensor.size_bytes;  // each file's sum was checked
  return total;
}

std::string SafetensorsCheckpoint::fingerprint() const {
  Sha256 hash;
  std::vector<std::byte> sample;
  for (const SafetensorsTensor& tensor : tensors_) {
    hash.field(tensor.name).field(dtype_name(tensor.dtype)).field(std::uint64_t{tensor.shape.size()});
    for (const std::uint64_t extent : tensor.shape) hash.field(extent);
    const std::uint64_t length = std::min(kSampleBytes, tensor.size_bytes);
    for (const std::uint64_t begin :
         {std::uint64_t{0}, (tensor.size_bytes - length) / 2, tensor.size_bytes - length}) {
      sample.resize(length);
      read(tensor, begin, sample);
      hash.update(sample);
    }
  }
  return hash.hex();
}

}  // namespace llmq
