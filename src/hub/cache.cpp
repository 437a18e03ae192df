#include "llmq/hub/cache.hpp"

#include <algorithm>
#include <cstring>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/core/json.hpp"

#include "hub/shards.hpp"

namespace llmq::hub {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "models--";
constexpr std::uint64_t kMaxReferenceBytes = 1024;
constexpr std::uint64_t kMaxHeaderBytes = std::uint64_t{100} << 20;

/// The commit a revision stands for; empty when the cache does not know.
std::string commit_of(const fs::path& repository, const ModelId& id) {
  if (is_commit(id.revision)) return id.revision;
  const fs::path reference = reference_path(repository, id);
  if (!fs::is_regular_file(reference)) return {};
  std::string text = read_file(reference, kMaxReferenceBytes);
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
  return is_commit(text) ? text : std::string();
}

/// Length of a safetensors file by its header; empty when that cannot be told.
std::optional<std::uint64_t> stated_length(const File& file) {
  std::uint64_t header = 0;
  if (file.size() < sizeof header) return std::nullopt;
  file.read_at(std::as_writable_bytes(std::span(&header, 1)), 0);
  if (header > kMaxHeaderBytes || header > file.size() - sizeof header) return std::nullopt;
  std::string text(static_cast<std::size_t>(header), '\0');
  file.read_at(std::as_writable_bytes(std::span(text)), sizeof header);
  const nlohmann::json document = parse_json_strict(text, file.path().string(), ExitCode::validation);
  std::uint64_t data = 0;
  for (const auto& [name, tensor] : document.items()) {
    if (name == "__metadata__" || !tensor.is_object() || !tensor.contains("data_offsets")) continue;
    const nlohmann::json& offsets = tensor["data_offsets"];
    if (offsets.is_array() && offsets.size() == 2 && offsets[1].is_number_unsigned())
      data = std::max(data, offsets[1].get<std::uint64_t>());
  }
  return sizeof header + header + data;
}

std::string unsound_weights(const fs::path& snapshot, const std::string& name) {
  if (!fs::is_regular_file(snapshot / name)) return name + " is missing";
  try {
    const File file(snapshot / name, File::Mode::read);
    return file.size() == stated_length(file) ? std::string()
                                              : name + " has another length than its header says";
  } catch (const Error&) {
    return name + " cannot be read";
  }
}

bool has_tokenizer(const fs::path& snapshot) {
  return fs::is_regular_file(snapshot / "tokenizer.json") ||
         fs::is_regular_file(snapshot / "tokenizer.model");
}

std::string unsound_checkpoint(const fs::path& snapshot) {
  if (!fs::is_regular_file(snapshot / kIndexFile)) return unsound_weights(snapshot, kWeightsFile);
  try {
    for (const std::string& shard : shards_of_index(snapshot / kIndexFile))
      if (std::string part = unsound_weights(snapshot, shard); !part.empty()) return part;
  } catch (const Error&) {
    return std::string(kIndexFile) + " is malformed";
  }
  return {};
}

}  // namespace

fs::path repository_directory(const fs::path& cache, const ModelId& id) {
  return cache / fmt::format("{}{}--{}", kPrefix, id.organization, id.name);
}

fs::path reference_path(const fs::path& repository, const ModelId& id) {
  return repository / "refs" / id.revision;
}

std::string incomplete_part(const fs::path& snapshot, bool needs_tokenizer) {
  if (!fs::is_regular_file(snapshot / "config.json")) return "config.json is missing";
  if (needs_tokenizer && !has_tokenizer(snapshot)) return "the tokenizer is missing";
  return unsound_checkpoint(snapshot);
}

std::optional<fs::path> find_snapshot(const std::vector<fs::path>& caches, const ModelId& id,
                                      bool needs_tokenizer) {
  for (const fs::path& cache : caches) {
    const fs::path repository = repository_directory(cache, id);
    std::error_code error;
    if (!fs::is_directory(repository, error)) continue;
    const std::string commit = commit_of(repository, id);
    if (commit.empty()) continue;
    const fs::path snapshot = repository / "snapshots" / commit;
    if (incomplete_part(snapshot, needs_tokenizer).empty()) return snapshot;
  }
  return std::nullopt;
}

std::vector<std::string> cached_repositories(const std::vector<fs::path>& caches) {
  std::set<std::string> names;
  for (const fs::path& cache : caches) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(cache, error)) {
      const std::string file = entry.path().filename().string();
      const std::size_t middle = file.find("--", kPrefix.size());
      if (!file.starts_with(kPrefix) || middle == std::string::npos) continue;
      names.insert(file.substr(kPrefix.size(), middle - kPrefix.size()) + "/" + file.substr(middle + 2));
    }
  }
  return {names.begin(), names.end()};
}

std::string repository_of_snapshot(const fs::path& path) {
  fs::path plain = fs::absolute(path).lexically_normal();
  if (!plain.has_filename()) plain = plain.parent_path();
  const fs::path snapshots = plain.parent_path();
  const std::string repository = snapshots.parent_path().filename().string();
  if (snapshots.filename() != "snapshots" || !repository.starts_with(kPrefix)) return {};
  const std::size_t middle = repository.find("--", kPrefix.size());
  if (middle == std::string::npos || !is_commit(plain.filename().string())) return {};
  return repository.substr(kPrefix.size(), middle - kPrefix.size()) + "/" + repository.substr(middle + 2);
}

fs::path model_title(const fs::path& path) {
  const std::string repository = repository_of_snapshot(path);
  return repository.empty() ? path : fs::path(repository);
}

std::string last_part(const fs::path& model) {
  if (const std::optional<ModelId> id = remote_model_id(model)) return id->name;
  if (const std::string repository = repository_of_snapshot(model); !repository.empty())
    return repository.substr(repository.find('/') + 1);
  fs::path plain = fs::absolute(model).lexically_normal();
  if (!plain.has_filename()) plain = plain.parent_path();
  return plain.filename().string();
}

}  // namespace llmq::hub
