#include "report/file_names.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "llmq/core/text.hpp"

namespace llmq {
namespace {

using Names = std::vector<std::string>;

Names without_directories(const std::vector<std::filesystem::path>& paths) {
  Names names;
  for (const std::filesystem::path& path : paths) names.push_back(shown_name(path));
  return names;
}

Names number_equals(Names names) {
  std::map<std::string, int> seen;
  for (std::string& name : names)
    if (const int times = ++seen[name]; times > 1) name += fmt::format(" ({})", times);
  return names;
}

/// Something is left of every name.
template <class Has>
bool all_have(const Names& names, const std::string& part, const Has& has) {
  return std::all_of(names.begin(), names.end(),
                     [&](const std::string& name) { return name.size() > part.size() && has(name, part); });
}

/// The longest front up to a hyphen that all names have.
void cut_front(Names& names) {
  const auto has = [](const std::string& name, const std::string& part) { return name.starts_with(part); };
  const std::string first = names.front();
  for (std::size_t end = first.rfind('-'); end != std::string::npos; end = first.rfind('-', end - 1)) {
    const std::string front = first.substr(0, end + 1);
    if (all_have(names, front, has)) {
      for (std::string& name : names) name.erase(0, front.size());
      return;
    }
    if (end == 0) return;
  }
}

/// The longest end from a hyphen or a dot on that all names have.
void cut_end(Names& names) {
  const auto has = [](const std::string& name, const std::string& part) { return name.ends_with(part); };
  const std::string first = names.front();
  for (std::size_t at = first.find_first_of("-."); at != std::string::npos;
       at = first.find_first_of("-.", at + 1)) {
    const std::string end = first.substr(at);
    if (!all_have(names, end, has)) continue;
    for (std::string& name : names) name.resize(name.size() - end.size());
    return;
  }
}

}  // namespace

std::string shown_name(const std::filesystem::path& path) {
  const std::filesystem::path plain = path.lexically_normal();
  return (plain.has_filename() ? plain : plain.parent_path()).filename().string();
}

Names shown_names(const std::vector<std::filesystem::path>& paths) {
  return number_equals(without_directories(paths));
}

Names short_names(const std::vector<std::filesystem::path>& paths) {
  Names names = without_directories(paths);
  for (std::string& name : names)
    if (name.size() > 5 && name.ends_with(".gguf")) name.resize(name.size() - 5);
  const bool differ =
      std::any_of(names.begin(), names.end(), [&](const std::string& name) { return name != names.front(); });
  if (differ) {
    cut_front(names);
    cut_end(names);
  }
  return number_equals(std::move(names));
}

std::string cut_middle(const std::string& name, std::size_t most) {
  if (character_count(name) <= most) return name;
  std::size_t front = 0, back = name.size();
  for (std::size_t kept = 0; kept < most / 2;)
    if (++front == name.size() || !continues_character(name[front])) ++kept;
  for (std::size_t kept = 0; kept < most - most / 2 - 1;)
    if (!continues_character(name[--back])) ++kept;
  return name.substr(0, front) + "…" + name.substr(back);
}

std::size_t character_count(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return !continues_character(c); }));
}

}  // namespace llmq
