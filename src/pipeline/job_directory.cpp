#include "pipeline/job_directory.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "llmq/core/error.hpp"
#include "llmq/core/hash.hpp"
#include "llmq/core/json.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

constexpr const char* kIdentityFile = "job.json";
constexpr const char* kLockFile = "lock";
constexpr std::uint64_t kMaxIdentityBytes = 1 << 20;

std::string identity_text(const JobIdentity& identity) {
  nlohmann::ordered_json document;
  for (const auto& [name, value] : identity.fields()) document[name] = value;
  return document.dump(2) + "\n";
}

/// "model: this run has ab12, the checkpoint cd34; ..." or empty when all fields are equal.
std::string differences(const fs::path& job, const JobIdentity& identity) {
  const fs::path file = job / kIdentityFile;
  const auto stored =
      parse_json_strict(read_file(file, kMaxIdentityBytes, 7), file.string(), ExitCode::checkpoint);
  std::string text;
  for (const auto& [name, value] : identity.fields()) {
    const std::string other =
        stored.contains(name) && stored[name].is_string() ? stored[name].get<std::string>() : "-";
    if (other == value) continue;
    text +=
        fmt::format("{}{}: this run has {}, the checkpoint {}", text.empty() ? "" : "; ", name, value, other);
  }
  return text;
}

/// The job's subdirectory below `place`, or `place` itself; empty when neither is there.
fs::path find_job(const fs::path& place, const JobIdentity& identity) {
  if (fs::exists(place / identity.key() / kIdentityFile)) return place / identity.key();
  if (fs::exists(place / kIdentityFile)) return place;
  return {};
}

/// True if `place` holds a checkpoint of this very job; a damaged one is none.
bool is_job(const fs::path& place, const JobIdentity& identity) {
  try {
    return fs::exists(place / kIdentityFile) && differences(place, identity).empty();
  } catch (const Error&) {
    return false;
  }
}

[[noreturn]] void throw_nothing_to_resume(const fs::path& place, const JobIdentity& identity) {
  std::string others;
  if (fs::is_directory(place)) {
    for (const auto& entry : fs::directory_iterator(place)) {
      if (!fs::exists(entry.path() / kIdentityFile)) continue;
      others += fmt::format("{}{} ({})", others.empty() ? "; found: " : ", ",
                            entry.path().filename().string(), differences(entry.path(), identity));
    }
  }
  throw Error(ExitCode::checkpoint,
              fmt::format("--resume {}: no checkpoint of this job{}", place.string(), others),
              "Start without --resume, or give the directory that the interrupted run used");
}

/// Nodes may hold copies of a model or a text: they must be the same.
void require_same_job(const StageContext& context, const JobIdentity& identity) {
  std::string expected = identity_text(identity);
  const std::string mine = expected;
  context.comm.broadcast(expected, 0, "compare the inputs of all ranks");
  context.comm.together("compare the inputs of all ranks", [&] {
    if (mine == expected) return;
    std::string fields;
    const auto of_root = nlohmann::json::parse(expected);
    for (const auto& [name, value] : identity.fields()) {
      if (of_root.value(name, std::string()) != value) fields += (fields.empty() ? "" : ", ") + name;
    }
    throw Error(
        ExitCode::validation,
        fmt::format("rank {} reads other inputs than rank 0: {} differs", context.comm.rank(), fields),
        "Give every node the same files under the same path");
  });
}

}  // namespace

std::string JobIdentity::key() const {
  Sha256 hash;
  for (const auto& [name, value] : fields_) hash.field(name).field(value);
  return hash.hex().substr(0, 16);
}

JobDirectory::JobDirectory(const StageContext& context, const CheckpointOptions& options,
                           const JobIdentity& identity, DirectoryUse use)
    : enabled_(options.enabled), use_(use) {
  require_same_job(context, identity);
  if (!enabled_) return;
  context.comm.together("open the checkpoint directory", [&] {
    if (context.comm.is_root()) open_on_root(options, identity);
  });
  std::string text = path_.string();
  context.comm.broadcast(text, 0, "share the checkpoint directory");
  path_ = text;
  std::uint64_t resuming = resuming_ ? 1 : 0;
  context.comm.broadcast(std::span<std::uint64_t>(&resuming, 1), 0, "share the checkpoint directory");
  resuming_ = resuming != 0;
  if (use == DirectoryUse::all_ranks) check_seen_by_all(context, identity);
}

void JobDirectory::check_seen_by_all(const StageContext& context, const JobIdentity& identity) const {
  context.comm.together("look at the checkpoint directory", [&] {
    if (is_job(path_, identity)) return;
    throw Error(
        ExitCode::checkpoint,
        fmt::format("{}: rank {} does not see what rank 0 wrote there", path_.string(), context.comm.rank()),
        "Choose a --checkpoint-dir that all ranks share, or use --no-checkpoints");
  });
}

void JobDirectory::open_on_root(const CheckpointOptions& options, const JobIdentity& identity) {
  resuming_ = options.resume.has_value();
  if (options.resume) {
    path_ = find_job(*options.resume, identity);
    if (path_.empty()) throw_nothing_to_resume(*options.resume, identity);
    if (const std::string text = differences(path_, identity); !text.empty()) {
      throw Error(
          ExitCode::checkpoint,
          fmt::format("--resume {}: the checkpoint is of another run ({})", options.resume->string(), text),
          "Start without --resume, or repeat the options of the interrupted run");
    }
  } else {
    path_ = options.directory / identity.key();
    std::error_code error;
    fs::create_directories(path_, error);
    if (error) {
      throw Error(ExitCode::checkpoint, fmt::format("create {}: {}", path_.string(), error.message()),
                  "Choose another place with --checkpoint-dir, or use --no-checkpoints");
    }
  }
  lock_ = std::make_unique<FileLock>(path_ / kLockFile);
  if (!lock_->owns()) {
    throw Error(ExitCode::checkpoint, fmt::format("{} is in use by another run of this job", path_.string()),
                "Wait for the other run, or choose another --checkpoint-dir");
  }
  if (options.continue_found && !options.resume) resuming_ = is_job(path_, identity);
  if (!resuming_) {
    for (const auto& entry : fs::directory_iterator(path_)) {
      if (entry.path().filename() != kLockFile) fs::remove_all(entry.path());
    }
    write_file_atomically(path_ / kIdentityFile, identity_text(identity));
  }
}

void JobDirectory::remove() noexcept {
  if (!enabled_ || !lock_) return;  // only rank 0 holds the lock
  std::error_code ignored;
  fs::remove_all(path_, ignored);
  const fs::path parent = path_.parent_path();
  if (fs::is_empty(parent, ignored) && !ignored) fs::remove(parent, ignored);
  lock_.reset();
}

void run_resumable(const StageContext& context, JobDirectory& job, const std::function<void()>& work,
                   const std::function<void()>& discard) {
  try {
    work();
  } catch (const Error& error) {
    const bool can_resume =
        job.enabled() && (error.code() == ExitCode::interrupted || error.code() == ExitCode::general ||
                          error.code() == ExitCode::out_of_memory);
    if (context.comm.is_root() && !can_resume) {
      discard();
      job.remove();
    }
    throw;
  }
  job.remove();
}

}  // namespace llmq
