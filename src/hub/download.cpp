#include "hub/download.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/core/text.hpp"
#include "llmq/hub/cache.hpp"

#include "hub/answers.hpp"
#include "hub/content.hpp"
#include "hub/names.hpp"
#include "hub/partial_file.hpp"
#include "hub/patience.hpp"
#include "hub/shards.hpp"
#include "hub/snapshot_writer.hpp"
#include "hub/transfer.hpp"
#include "hub/url.hpp"

namespace llmq::hub {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxListingBytes = std::size_t{64} << 20;
constexpr std::uint64_t kMegabyte = 1000000;
/// A misspelled path must not wait long for a network that is not there.
constexpr double kListPatience = 10;
constexpr int kMostTries = 2;  // of content that fails its check

/// A short answer in memory.
class TextSink final : public HttpSink {
 public:
  bool head(const HttpHead& head) override {
    text.clear();
    return head.status == 200;
  }
  bool body(std::span<const std::byte> bytes) override {
    text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return text.size() <= kMaxListingBytes;
  }
  std::string text;
};

}  // namespace

Download::Download(const Settings& settings, const ModelId& id, MakeClient make_client, Log& log,
                   std::function<bool()> stop)
    : settings_(settings),
      id_(id),
      make_client_(std::move(make_client)),
      log_(log),
      stop_(std::move(stop)),
      repository_(repository_directory(settings.downloads, id)) {}

fs::path Download::run() {
  const Listing listing = list();
  commit_ = listing.commit;
  std::vector<RemoteFile> files = small_files(listing, id_.repository());
  make_repository(repository_);
  require_space(files);
  fetch(files, nullptr);
  std::vector<std::string> shards = {kWeightsFile};
  if (const RemoteFile* index = listing.find(kIndexFile)) shards = shards_of_index(blob_path(*index));
  const std::vector<RemoteFile> weights = weight_files(listing, shards, id_.repository());
  fetch_weights(weights);
  files.insert(files.end(), weights.begin(), weights.end());
  const fs::path snapshot = link_snapshot(repository_, listing, files);
  if (const std::string part = incomplete_part(snapshot, false); !part.empty()) {
    throw Error(ExitCode::validation, fmt::format("{}: {}", id_.text(), part),
                "The model at the hub is broken: look for another revision (MODEL@REVISION)");
  }
  write_reference(repository_, id_, commit_);
  log_.status(fmt::format("Downloaded: {} (commit {})", id_.text(), commit_));
  return snapshot;
}

Listing Download::list() {
  log_.status(fmt::format("Looking for {} at {}", id_.text(), shown_url(settings_.endpoint)));
  const std::string path = fmt::format("/api/models/{}/{}/revision/{}?blobs=true", url_part(id_.organization),
                                       url_part(id_.name), url_part(id_.revision));
  HubClient client(make_client_(stop_), settings_.endpoint, settings_.token);
  Patience patience(std::min(settings_.patience_seconds, kListPatience), stop_);
  TextSink sink;
  while (true) {
    const HubAnswer answer = client.get(path, std::nullopt, sink);
    if (stop_()) interrupted();
    const std::string url = shown_url(settings_.endpoint + path);
    if (sink.text.size() > kMaxListingBytes)
      throw Error(ExitCode::validation, url + ": the answer has no end");
    const Verdict verdict = judge(answer);
    if (verdict == Verdict::good) return parse_listing(sink.text, url);
    if (verdict == Verdict::give_up) refuse(answer, id_, settings_, "the list of files");
    log_.status(fmt::format("{}: {}; trying again", shown_url(settings_.endpoint), reason_of(answer)));
    if (patience.wait(answer.outcome.head.number("retry-after"))) continue;
    if (stop_()) interrupted();
    cannot_ask(answer, id_, settings_);
  }
}

std::vector<RemoteFile> Download::absent(const std::vector<RemoteFile>& files) const {
  std::vector<RemoteFile> left;
  std::copy_if(files.begin(), files.end(), std::back_inserter(left), [&](const RemoteFile& file) {
    std::error_code error;
    return fs::file_size(blob_path(file), error) != file.size_bytes || error;
  });
  return left;
}

void Download::require_space(const std::vector<RemoteFile>& files) const {
  std::uint64_t wanted = 0;
  for (const RemoteFile& file : absent(files)) wanted += bytes_to_reserve(blob_path(file), file.size_bytes);
  const std::uint64_t free = free_disk_bytes(repository_);
  if (wanted <= free) return;
  throw Error(ExitCode::validation,
              fmt::format("{} needs {} more, {} has {} free", id_.text(), format_size(wanted),
                          repository_.string(), format_size(free)),
              "Free disk space, or set HF_HUB_CACHE or LLM_QUANTIZE_CACHE to a larger file system");
}

void Download::fetch_weights(const std::vector<RemoteFile>& files) {
  require_space(files);
  const std::vector<RemoteFile> left = absent(files);
  for (const RemoteFile& file : left) total_bytes_ += bytes_to_receive(blob_path(file), file.size_bytes);
  if (left.empty()) return;
  log_.status(fmt::format("Downloading {}: {} file{} of weights, {}", id_.text(), left.size(),
                          left.size() == 1 ? "" : "s", format_size(total_bytes_)));
  ProgressBar bar(log_, "Downloading", (total_bytes_ + kMegabyte - 1) / kMegabyte, "MB");
  fetch(left, &bar);
  bar.finish();
}

void Download::fetch(const std::vector<RemoteFile>& files, ProgressBar* bar) {
  for (const RemoteFile& file : files) {
    if (absent({file}).empty()) continue;
    for (int tries = 1;; ++tries) {
      try {
        fetch_file(file, bar);
        break;
      } catch (const WrongContent& error) {
        PartialFile(blob_path(file), file.size_bytes).remove();
        if (tries == kMostTries) {
          throw Error(
              ExitCode::validation, fmt::format("{}: {}", id_.text(), error.what()),
              "The file was thrown away. Try again later; a proxy on the way may change what it passes on");
        }
        log_.status(fmt::format("{}; fetching it again", error.what()));
      }
    }
  }
}

void Download::fetch_file(const RemoteFile& file, ProgressBar* bar) {
  PartialFile partial(blob_path(file), file.size_bytes);
  if (partial.received_bytes() > 0)
    log_.status(fmt::format("{}: {} of {} are here already", file.name, format_size(partial.received_bytes()),
                            format_size(file.size_bytes)));
  const std::uint64_t due = bytes_to_receive(blob_path(file), file.size_bytes);
  const std::function<void(std::uint64_t)> progress = [&](std::uint64_t bytes) {
    if (bar == nullptr || total_bytes_ == 0) return;
    // More comes where a start is made again.
    const std::uint64_t done = std::min(total_bytes_, done_bytes_ + std::min(bytes, due));
    bar->update(done / kMegabyte, static_cast<double>(done) / static_cast<double>(total_bytes_));
  };
  const std::function<void(const std::string&)> notice = [&](const std::string& text) { log_.status(text); };
  const TransferContext context{id_, settings_, make_client_, stop_, progress, notice};
  const std::string path = fmt::format("/{}/{}/resolve/{}/{}", url_part(id_.organization), url_part(id_.name),
                                       commit_, url_part(file.name));
  if (!transfer(context, path, file, partial)) interrupted();
  if (bar != nullptr) done_bytes_ += due;
  const std::string hash = content_hash(partial.file(), file.hash, stop_);
  if (hash.empty()) interrupted();
  if (hash != file.hash) {
    throw WrongContent(
        fmt::format("{}: its content has the hash {}, listed is {}", file.name, hash, file.hash));
  }
  partial.publish();
}

void Download::interrupted() const {
  throw Error(ExitCode::interrupted, fmt::format("interrupted while downloading {}", id_.text()),
              "Run the same command again: what has arrived is kept and not asked for again");
}

}  // namespace llmq::hub
