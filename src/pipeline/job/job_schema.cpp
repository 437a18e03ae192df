#include "pipeline/job/job_schema.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "llmq/core/json_schema.hpp"
#include "llmq/embedded/schemas.hpp"
#include "llmq/pipeline/job.hpp"

namespace llmq::job {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxNameLength = 64;

const JsonSchema& schema() {
  static const JsonSchema parsed(embedded_job_schema());
  return parsed;
}

const json& schema_document() { return schema().document(); }

/// Schemas of the properties at the place that `path` leads to; null where the schema names none.
const json* properties_at(const json& document, const std::vector<std::string>& path) {
  const json& root = schema_document();
  if (path.empty()) return &root["properties"];
  const json& definitions = root["definitions"];
  if (path[0] == "defaults") {
    if (path.size() == 1) return &root["properties"]["defaults"]["properties"];
    return path.size() == 2 && definitions.contains(path[1]) ? &definitions[path[1]]["properties"] : nullptr;
  }
  if (path[0] != "steps" || path.size() != 2) return nullptr;
  const json& step = document["steps"][std::stoul(path[1])];
  const auto type = step.find("type");
  const bool known =
      type != step.end() && type->is_string() && definitions.contains(type->get<std::string>());
  return known ? &definitions[type->get<std::string>()]["properties"] : &definitions["step"]["properties"];
}

/// What the schema says should stand at `path`, in words.
std::string expected_at(const json& document, std::vector<std::string> path) {
  if (path.empty()) return "an object with version, name and steps";
  if (path.size() == 2 && path[0] == "steps")
    return schema_document()["definitions"]["step"]["description"].get<std::string>();
  if (path.size() == 2 && path[0] == "variables") return "a string";
  std::string key = path.back();
  path.pop_back();
  const bool in_list = path.size() == 3 && path[0] == "steps";  // an element of needs or candidates
  if (in_list) {
    key = path.back();
    path.pop_back();
  }
  const auto describe = [&](const json* properties) -> std::string {
    if (properties == nullptr || !properties->contains(key)) return {};
    const json& found =
        in_list && (*properties)[key].contains("items") ? (*properties)[key]["items"] : (*properties)[key];
    return found.contains("description") ? found["description"].get<std::string>() : std::string();
  };
  std::string text = describe(properties_at(document, path));
  if (text.empty()) text = describe(&schema_document()["definitions"]["step"]["properties"]);
  return text.empty() ? fmt::format("options of {}", key) : text;
}

[[noreturn]] void throw_error(const json& document, std::string_view file, SchemaFailure failure) {
  switch (failure.kind) {
    case SchemaFailure::Kind::unknown_member: {
      std::vector<std::string> known;
      if (const json* properties = properties_at(document, failure.path); properties != nullptr) {
        for (const auto& [key, ignored] : properties->items()) known.push_back(key);
      }
      const std::string near = nearest(failure.name, known);
      throw JobError(
          file, failure.pointer() + "/" + pointer_token(failure.name),
          fmt::format("\"{}\" is unknown here; expected one of {}", failure.name.substr(0, kMaxNameLength),
                      fmt::join(known, ", ")),
          near.empty() ? "docs/formats/job.md lists the options" : fmt::format("Did you mean \"{}\"?", near));
    }
    case SchemaFailure::Kind::missing_member: {
      const std::string pointer = failure.pointer();
      failure.path.push_back(failure.name);
      throw JobError(
          file, pointer,
          fmt::format("\"{}\" is missing: expected {}", failure.name, expected_at(document, failure.path)),
          fmt::format("Add \"{}\"", failure.name));
    }
    case SchemaFailure::Kind::wrong_value:
      break;
  }
  throw JobError(file, failure.pointer(),
                 fmt::format("expected {}, found {}", expected_at(document, failure.path), failure.shown),
                 "docs/formats/job.md describes the format");
}

}  // namespace

void check_schema(const json& document, std::string_view file) {
  if (auto failure = schema().check(document)) throw_error(document, file, std::move(*failure));
}

}  // namespace llmq::job
