#include "pipeline/job/job_identity.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "llmq/allocate/profile.hpp"
#include "llmq/core/file.hpp"
#include "llmq/core/hash.hpp"
#include "llmq/formats/imatrix.hpp"
#include "llmq/model/source.hpp"
#include "llmq/pipeline/hub_model.hpp"
#include "llmq/pipeline/quantize.hpp"

#include "pipeline/content_hash.hpp"
#include "pipeline/job/job_steps.hpp"

namespace llmq::job {
namespace {

namespace fs = std::filesystem;

/// A sound model, or its typed error.
std::string hash_model_at(const fs::path& model) {
  const fs::path path = cached_or_same(model);
  return hash_model(*open_model(path), path);
}

std::string key_of(const char* kind, const fs::path& path) {
  return kind + fs::absolute(path).lexically_normal().string();
}

std::string base_name(const fs::path& path) {
  return fs::absolute(path).lexically_normal().filename().string();
}

std::string identity(OptionRole role, const std::string& value, ContentIndex& contents) {
  switch (role) {
    case OptionRole::model:
      // The last part of the path reaches results: as general.name where config.json has none, and in
      // reports.
      return fmt::format("{} sha256:{}", model_base_name(value), contents.model(value));
    case OptionRole::text:
      return fmt::format("{} sha256:{}", base_name(value), contents.file(value, ExitCode::calibration_data));
    case OptionRole::imatrix:
      return "sha256:" + contents.imatrix(value);
    case OptionRole::profile:
      return "sha256:" + contents.profile(value);
    case OptionRole::rules:
      return "sha256:" + contents.file(value, ExitCode::invalid_arguments);
    case OptionRole::plain:
    case OptionRole::place:
      return value;
  }
  throw InternalError("unknown option role");
}

}  // namespace

const std::string& ContentIndex::file(const fs::path& path, ExitCode code) {
  const auto [found, is_new] = hashes_.emplace(key_of("file ", path), "");
  if (found->second.empty()) found->second = hash_file(path, code);
  return found->second;
}

const std::string& ContentIndex::output(const fs::path& path) {
  const auto [found, is_new] = hashes_.emplace(key_of("output ", path), "");
  if (found->second.empty()) found->second = hash_output(path, ExitCode::general);
  return found->second;
}

const std::string& ContentIndex::model(const fs::path& path) {
  const auto [found, is_new] = hashes_.emplace(key_of("model ", path), "");
  if (found->second.empty()) found->second = hash_model_at(path);
  return found->second;
}

const std::string& ContentIndex::imatrix(const fs::path& path) {
  const auto [found, is_new] = hashes_.emplace(key_of("imatrix ", path), "");
  if (found->second.empty()) found->second = read_imatrix(path).content_hash();
  return found->second;
}

const std::string& ContentIndex::profile(const std::string& name_or_path) {
  const auto [found, is_new] = hashes_.emplace(key_of("profile ", name_or_path), "");
  if (found->second.empty()) {
    const Profile profile = find_profile(name_or_path, profile_directory_).profile;
    found->second = Sha256().field(profile_text(profile)).hex();
  }
  return found->second;
}

void ContentIndex::forget(const fs::path& path) {
  for (const char* kind : {"file ", "output ", "model ", "imatrix ", "profile "})
    hashes_.erase(key_of(kind, path));
}

Fields step_fields(const JobStep& step, ContentIndex& contents) {
  Fields fields = {{"type", step.type}, {"version", LLMQ_VERSION}};
  for (const JobOption& option : step.options) {
    const OptionRole role = role_of(step, option.name);
    if (role == OptionRole::place) continue;
    std::vector<std::string> values;
    for (const std::string& value : option.values) values.push_back(identity(role, value, contents));
    fields.emplace_back(option.name, fmt::format("{}", fmt::join(values, ", ")));
  }
  return fields;
}

std::string step_key(const Fields& fields) {
  Sha256 hash;
  for (const auto& [name, value] : fields) hash.field(name).field(value);
  return hash.hex();
}

}  // namespace llmq::job
