#include "pipeline/job/job_state.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "llmq/core/error.hpp"
#include "llmq/core/json.hpp"

namespace llmq::job {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int kStateVersion = 1;
constexpr std::uint64_t kMaxStateBytes = std::uint64_t{256} << 20;

Json to_json(const StepRecord& record) {
  Json document = {{"status", record.finished ? "finished" : "started"}};
  for (const auto& [name, value] : record.fields) document["fields"][name] = value;
  document["key"] = step_key(record.fields);
  document["output"] = nullptr;
  if (record.output) {
    document["output"] = {{"path", record.output->path},
                          {"size", record.output->size_bytes},
                          {"sha256", record.output->sha256}};
  }
  document["duration_seconds"] = record.seconds;
  document["result"] = record.result.empty() ? Json(nullptr) : Json::parse(record.result);
  return document;
}

/// @throws nlohmann::json::exception where a member is missing or of another type.
StepRecord from_json(const Json& document) {
  StepRecord record;
  record.finished = document.at("status") == "finished";
  for (const auto& [name, value] : document.at("fields").items())
    record.fields.emplace_back(name, value.get<std::string>());
  if (const Json& output = document.at("output"); !output.is_null()) {
    record.output = OutputRecord{output.at("path").get<std::string>(), output.at("size").get<std::uint64_t>(),
                                 output.at("sha256").get<std::string>()};
  }
  record.seconds = document.at("duration_seconds").get<double>();
  if (!document.at("result").is_null()) record.result = document.at("result").dump();
  if (document.at("key") != step_key(record.fields))
    throw Error(ExitCode::checkpoint, "a key does not fit its fields");
  return record;
}

}  // namespace

JobState::JobState(const fs::path& directory, const std::string& job, Log& log)
    : path_(directory / (job + ".state.json")), job_(job) {
  if (!fs::exists(path_)) return;
  try {
    const std::string text = read_file(path_, kMaxStateBytes, static_cast<int>(ExitCode::checkpoint));
    (void)parse_json_strict(text, path_.string(), ExitCode::checkpoint);
    const Json document = Json::parse(text);  // keeps the order of fields and results
    if (document.at("version") != kStateVersion) throw Error(ExitCode::checkpoint, "another version");
    for (const auto& [step, record] : document.at("steps").items()) records_[step] = from_json(record);
  } catch (const std::exception& error) {
    records_.clear();
    log.warn(fmt::format("{} cannot be used, all steps run again: {}", path_.string(), error.what()));
  }
}

void JobState::lock() {
  std::error_code error;
  fs::create_directories(path_.parent_path(), error);
  if (error) {
    throw Error(ExitCode::checkpoint,
                fmt::format("create {}: {}", path_.parent_path().string(), error.message()),
                "Choose another place with --checkpoint-dir");
  }
  try {
    lock_ = std::make_unique<FileLock>(fs::path(path_).replace_extension(".lock"));
  } catch (const Error& failure) {
    throw Error(ExitCode::checkpoint, failure.what(), "Choose another place with --checkpoint-dir");
  }
  if (lock_->owns()) return;
  throw Error(ExitCode::checkpoint, fmt::format("{} is in use by another run of this job", path_.string()),
              "Wait for the other run, or choose another --checkpoint-dir");
}

const StepRecord* JobState::find(const std::string& step) const {
  const auto found = records_.find(step);
  return found == records_.end() ? nullptr : &found->second;
}

void JobState::put(const std::string& step, StepRecord record) {
  records_[step] = std::move(record);
  Json document = {{"version", kStateVersion}, {"job", job_}, {"steps", Json::object()}};
  for (const auto& [id, one] : records_) document["steps"][id] = to_json(one);
  write_file_atomically(path_, document.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace llmq::job
