#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "llmq/allocate/profile.hpp"
#include "llmq/core/error.hpp"
#include "llmq/core/json_schema.hpp"
#include "llmq/embedded/profiles.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kExtension = ".dqprofile";

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

/// The .dqprofile files of a directory by name; empty where it cannot be read.
std::vector<fs::path> profile_files(const fs::path& directory) {
  std::vector<fs::path> files;
  std::error_code error;
  fs::directory_iterator entry(directory, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const fs::path& path = entry->path();
    if (path.extension() == kExtension && is_file(path)) files.push_back(path);
  }
  std::sort(files.begin(), files.end());
  return files;
}

ListedProfile list_file(const fs::path& path) {
  ListedProfile listed{path.stem().string(), "", path, ""};
  try {
    listed.description = read_profile(path).description;
  } catch (const Error& error) {
    listed.problem = error.what();
  }
  return listed;
}

/// "NAME" and "NAME.dqprofile" in the directory of profiles; empty: not there.
fs::path file_in(const fs::path& directory, const std::string& name) {
  if (directory.empty() || name.empty()) return {};
  for (const std::string& file : {name + std::string(kExtension), name}) {
    if (!file.ends_with(kExtension)) continue;
    if (is_file(directory / file)) return directory / file;
  }
  return {};
}

[[noreturn]] void not_found(const std::string& name, const fs::path& directory) {
  std::set<std::string> unique;
  std::vector<std::string> names;
  for (const ListedProfile& one : list_profiles(directory)) {
    if (unique.insert(one.name).second) names.push_back(one.name);
  }
  const std::string near = nearest(name, names);
  throw Error(
      ExitCode::profile, fmt::format("profile \"{}\" not found", name),
      fmt::format("{}Profiles: {}; or give the path of a .dqprofile file",
                  near.empty() ? "" : fmt::format("Did you mean \"{}\"? ", near), fmt::join(names, ", ")));
}

}  // namespace

std::vector<ListedProfile> list_profiles(const fs::path& directory) {
  std::vector<ListedProfile> listed;
  for (const EmbeddedProfile& preset : embedded_profiles()) {
    listed.push_back({std::string(preset.name),
                      parse_profile(preset.text, fmt::format("preset {}", preset.name)).description,
                      {},
                      {}});
  }
  if (directory.empty()) return listed;
  for (const fs::path& path : profile_files(directory)) listed.push_back(list_file(path));
  return listed;
}

FoundProfile find_profile(const std::string& name_or_path, const fs::path& directory) {
  if (is_file(name_or_path)) return {read_profile(name_or_path), name_or_path};
  if (const fs::path file = file_in(directory, name_or_path); !file.empty())
    return {read_profile(file), file};
  for (const EmbeddedProfile& preset : embedded_profiles()) {
    if (preset.name == name_or_path)
      return {parse_profile(preset.text, fmt::format("preset {}", preset.name)), {}};
  }
  not_found(name_or_path, directory);
}

}  // namespace llmq
