#include "hub/snapshot_writer.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/hub/cache.hpp"

#include "hub/shards.hpp"

namespace llmq::hub {
namespace {

namespace fs = std::filesystem;

void make_directories(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (!error) return;
  throw Error(ExitCode::invalid_arguments,
              fmt::format("{}: cannot make this directory for downloads: {}", path.string(), error.message()),
              "Set HF_HUB_CACHE or LLM_QUANTIZE_CACHE to a directory that you may write to");
}

/// `name` as a link to the blob; one that leads there already is left alone.
void link_file(const fs::path& snapshot, const RemoteFile& file) {
  const fs::path target = fs::path("../../blobs") / file.hash;
  const fs::path link = snapshot / file.name;
  std::error_code error;
  if (fs::read_symlink(link, error) == target && !error) return;
  const fs::path fresh = snapshot / (file.name + ".llmq-new");
  fs::remove(fresh, error);
  fs::create_symlink(target, fresh, error);
  if (error) {
    throw Error(ExitCode::general, fmt::format("link {}: {}", fresh.string(), error.message()),
                "Choose a file system with symbolic links for HF_HUB_CACHE or LLM_QUANTIZE_CACHE");
  }
  publish_file(fresh, link);
}

}  // namespace

void make_repository(const fs::path& repository) {
  for (const char* part : {"blobs", "refs", "snapshots"}) make_directories(repository / part);
}

fs::path link_snapshot(const fs::path& repository, const Listing& listing,
                       const std::vector<RemoteFile>& files) {
  const fs::path snapshot = repository / "snapshots" / listing.commit;
  make_directories(snapshot);
  std::vector<RemoteFile> ordered = files;
  std::stable_partition(ordered.begin(), ordered.end(), [](const RemoteFile& file) {
    return file.name != kIndexFile && file.name != kWeightsFile;
  });
  for (const RemoteFile& file : ordered) link_file(snapshot, file);
  return snapshot;
}

void write_reference(const fs::path& repository, const ModelId& id, const std::string& commit) {
  if (is_commit(id.revision)) return;
  const fs::path reference = reference_path(repository, id);
  make_directories(reference.parent_path());
  write_file_atomically(reference, commit);
}

}  // namespace llmq::hub
