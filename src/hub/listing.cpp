#include "hub/listing.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "llmq/core/error.hpp"
#include "llmq/core/json.hpp"
#include "llmq/core/model_files.hpp"
#include "llmq/hub/id.hpp"

#include "hub/names.hpp"
#include "hub/shards.hpp"

namespace llmq::hub {
namespace {

using nlohmann::json;

constexpr std::string_view kConfigFile = "config.json";
constexpr std::uint64_t kMaxFileBytes = std::uint64_t{1} << 53;

bool is_small_file(std::string_view name) {
  return name == kConfigFile || name == kIndexFile ||
         std::find(std::begin(kModelCompanions), std::end(kModelCompanions), name) !=
             std::end(kModelCompanions);
}

bool may_be_needed(std::string_view name) { return name.ends_with(".safetensors") || is_small_file(name); }

class ListingReader {
 public:
  explicit ListingReader(const std::string& url) : url_(url) {}

  Listing read(const json& document) const {
    Listing listing;
    listing.commit = string_member(document, "sha", "");
    if (!is_commit(listing.commit)) fail("has no commit (\"sha\")");
    const auto siblings = document.find("siblings");
    if (siblings == document.end() || !siblings->is_array()) fail("has no list of files (\"siblings\")");
    for (const json& sibling : *siblings) {
      const std::string name = string_member(sibling, "rfilename", "");
      if (!is_plain_file_name(name) || !may_be_needed(name)) continue;
      if (listing.find(name) != nullptr) fail(fmt::format("names {} twice", name));
      listing.files.push_back(read_file_entry(sibling, name));
    }
    return listing;
  }

  [[noreturn]] void fail(std::string reason) const {
    throw FormatError(ExitCode::validation, url_, FormatError::kNoOffset, std::move(reason),
                      "Is HF_ENDPOINT the address of a hub? The default is https://huggingface.co");
  }

 private:
  RemoteFile read_file_entry(const json& sibling, const std::string& name) const {
    RemoteFile file{name, 0, string_member(sibling, "blobId", "")};
    const auto size = sibling.find("size");
    if (size == sibling.end() || !size->is_number_unsigned() || size->get<std::uint64_t>() > kMaxFileBytes)
      fail(fmt::format("{} has no size", name));
    file.size_bytes = size->get<std::uint64_t>();
    const auto lfs = sibling.find("lfs");
    const bool large = lfs != sibling.end() && lfs->is_object();
    if (large) file.hash = string_member(*lfs, "sha256", "");
    if (!is_hex(file.hash, large ? 64 : 40)) fail(fmt::format("{} has no hash", name));
    return file;
  }

  const std::string& url_;
};

}  // namespace

const RemoteFile* Listing::find(std::string_view name) const noexcept {
  const auto found =
      std::find_if(files.begin(), files.end(), [&](const RemoteFile& file) { return file.name == name; });
  return found == files.end() ? nullptr : &*found;
}

Listing parse_listing(std::string_view text, const std::string& url) {
  const ListingReader reader(url);
  const json document = parse_json_strict(text, url, ExitCode::validation);
  if (!document.is_object()) reader.fail("is no JSON object");
  return reader.read(document);
}

std::vector<RemoteFile> small_files(const Listing& listing, const std::string& repository) {
  if (listing.find("config.json") == nullptr) {
    throw Error(ExitCode::model_not_found, fmt::format("{} has no config.json", repository),
                "MODEL must be a repository with config.json and *.safetensors");
  }
  if (listing.find(kIndexFile) == nullptr && listing.find(kWeightsFile) == nullptr) {
    throw Error(ExitCode::model_not_found, fmt::format("{} has no weights as safetensors", repository),
                "Look for a repository of the same model that has them; GGUF files are given by path");
  }
  std::vector<RemoteFile> files;
  for (const RemoteFile& file : listing.files)
    if (is_small_file(file.name)) files.push_back(file);
  return files;
}

std::vector<RemoteFile> weight_files(const Listing& listing, const std::vector<std::string>& shards,
                                     const std::string& repository) {
  std::vector<RemoteFile> files;
  for (const std::string& name : shards) {
    const RemoteFile* file = listing.find(name);
    if (file == nullptr) {
      throw Error(ExitCode::validation,
                  fmt::format("{}: {} names the shard {}, which the repository does not hold", repository,
                              kIndexFile, shown(name)));
    }
    files.push_back(*file);
  }
  return files;
}

}  // namespace llmq::hub
