#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "llmq/allocate/profile.hpp"
#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/core/json.hpp"
#include "llmq/core/json_schema.hpp"
#include "llmq/embedded/schemas.hpp"
#include "llmq/quant/type_rules.hpp"

namespace llmq {
namespace {

using nlohmann::json;

constexpr std::uint64_t kMaxBytes = std::uint64_t{4} << 20;
constexpr const char* kSee = "docs/profiles.md describes the format";

const JsonSchema& schema() {
  static const JsonSchema parsed(embedded_dqprofile_schema());
  return parsed;
}

[[noreturn]] void fail(std::string_view file, const std::string& pointer, std::string_view reason,
                       const std::string& suggestion) {
  throw Error(ExitCode::profile,
              fmt::format("{}: {}: {}", file, pointer.empty() ? "the document" : pointer, reason),
              suggestion);
}

/// Members that may stand where an unknown one was found.
std::vector<std::string> known_members(const std::vector<std::string>& path) {
  const json& root = schema().document()["properties"];
  const json& known =
      path.empty() ? root : root["layer_assignments"]["items"]["properties"];  // no other object is closed
  std::vector<std::string> names;
  for (const auto& [name, ignored] : known.items()) names.push_back(name);
  return names;
}

void check_schema(const json& document, std::string_view file) {
  const auto failure = schema().check(document);
  if (!failure) return;
  switch (failure->kind) {
    case SchemaFailure::Kind::unknown_member: {
      const std::string near = nearest(failure->name, known_members(failure->path));
      fail(file, failure->pointer() + "/" + pointer_token(failure->name), "unknown here",
           near.empty() ? kSee : fmt::format("Did you mean \"{}\"?", near));
    }
    case SchemaFailure::Kind::missing_member:
      fail(file, failure->pointer(), fmt::format("\"{}\" is missing", failure->name),
           fmt::format("Add \"{}\"", failure->name));
    case SchemaFailure::Kind::wrong_value:
      break;
  }
  fail(file, failure->pointer(),
       fmt::format("expected {}, found {}", schema().described(failure->path), failure->shown), kSee);
}

void check_id(const std::string& id, std::string_view file) {
  const bool plain = std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
  });
  if (!plain) fail(file, "/profile_id", fmt::format("expected {}", schema().described({"profile_id"})), kSee);
}

std::vector<TensorPin> read_pins(const json& assignment, const std::string& pointer, std::string_view file) {
  std::vector<TensorPin> pins;
  const auto types = assignment.find("tensor_types");
  if (types == assignment.end()) return pins;
  for (const auto& [role, type] : types->items()) {
    const std::string place = pointer + "/tensor_types/" + pointer_token(role);
    if (role.empty() || role.size() > 64)
      fail(file, place, "a role has 1 to 64 characters", "Name a role such as attn_v or ffn_*");
    try {
      pins.push_back({role, parse_tensor_type(type.get<std::string>())});
    } catch (const Error& error) {
      fail(file, place, error.what(), error.suggestion());
    }
  }
  return pins;
}

std::vector<LayerAssignment> read_assignments(const json& list, std::string_view file) {
  std::vector<LayerAssignment> assignments;
  std::map<std::string, std::string> seen;  // pointers by layer name
  for (const json& one : list) {
    const std::string pointer = fmt::format("/layer_assignments/{}", assignments.size());
    LayerAssignment assignment;
    assignment.layer_name = one["layer_name"].get<std::string>();
    assignment.bit_width = one["bit_width"].get<double>();
    assignment.is_protected = one.value("is_protected", false);
    assignment.tensor_types = read_pins(one, pointer, file);
    const auto [before, is_new] = seen.emplace(assignment.layer_name, pointer);
    if (!is_new) {
      fail(file, pointer + "/layer_name",
           fmt::format("\"{}\" is named by {} already", assignment.layer_name, before->second),
           "Keep one of the two");
    }
    assignments.push_back(std::move(assignment));
  }
  return assignments;
}

std::optional<double> optional_number(const json& document, const char* key) {
  const auto found = document.find(key);
  if (found == document.end() || found->is_null()) return std::nullopt;
  return found->get<double>();
}

ProfileStrategy strategy_of(std::string_view name) {
  using enum ProfileStrategy;
  for (const ProfileStrategy one : {attention_high, balanced, compression_max, custom}) {
    if (name_of(one) == name) return one;
  }
  throw InternalError("a strategy that the schema lets through has no value");
}

}  // namespace

Profile parse_profile(std::string_view text, std::string_view file) {
  if (text.size() > kMaxBytes)
    fail(file, "", fmt::format("is larger than {} bytes", kMaxBytes), "A profile is a small JSON document");
  const json document = parse_json_strict(text, file, ExitCode::profile);
  check_schema(document, file);
  Profile profile;
  profile.id = document["profile_id"].get<std::string>();
  check_id(profile.id, file);
  profile.name = document["profile_name"].get<std::string>();
  profile.description = document.value("description", "");
  profile.strategy = strategy_of(document["strategy"].get<std::string>());
  profile.layer_assignments = read_assignments(document["layer_assignments"], file);
  profile.target_bpw = optional_number(document, "target_bpw");
  profile.target_compression = optional_number(document, "target_compression");
  return profile;
}

Profile read_profile(const std::filesystem::path& file) {
  std::string text;
  try {
    text = read_file(file, kMaxBytes, static_cast<int>(ExitCode::profile));
  } catch (const Error& error) {  // missing, a directory, unreadable, too large
    throw Error(ExitCode::profile, error.what(), "Give a .dqprofile file, docs/profiles.md");
  }
  return parse_profile(text, file.string());
}

}  // namespace llmq
