// The only file that sees valijson, whose headers are heavy.
#include "pipeline/job/job_schema.hpp"

#include <algorithm>
#include <memory>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>

#include "llmq/embedded/schemas.hpp"
#include "llmq/pipeline/job.hpp"

namespace llmq::job {
namespace {

using nlohmann::json;
using valijson::adapters::NlohmannJsonAdapter;

constexpr std::size_t kMaxShown = 60;  // bytes of a value that a message repeats
constexpr std::size_t kMaxNameLength = 64;

const json& schema_document() {
  static const json document = json::parse(embedded_job_schema());
  return document;
}

const valijson::Schema& schema() {
  static const auto parsed = [] {
    auto made = std::make_unique<valijson::Schema>();
    valijson::SchemaParser(valijson::SchemaParser::kDraft7)
        .populateSchema(NlohmannJsonAdapter(schema_document()), *made);
    return made;
  }();
  return *parsed;
}

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

std::string shown(const json& value) {
  std::string text = value.dump(-1, ' ', true);
  if (text.size() > kMaxShown) text = text.substr(0, kMaxShown) + "...";
  return text;
}

/// The name in quotes at the end of one of the library's sentences.
std::string quoted_name(const std::string& description) {
  const std::size_t begin = description.find(": '");
  const std::size_t plain = description.find(" '");
  const std::size_t at = begin != std::string::npos ? begin + 3 : plain + 2;
  return description.substr(at, description.rfind('\'') - at);
}

[[noreturn]] void throw_error(const json& document, std::string_view file,
                              const valijson::ValidationResults::Error& error) {
  std::vector<std::string> path;
  std::string pointer;
  const json* value = &document;
  for (std::size_t i = 1; i < error.context.size(); ++i) {  // the first is "<root>"
    const std::string key = error.context[i].substr(1, error.context[i].size() - 2);
    path.push_back(key);
    pointer += "/" + pointer_token(key);
    value = value->is_array() ? &(*value)[std::stoul(key)] : &(*value)[key];
  }
  if (error.description.starts_with("Object contains a property")) {
    const std::string name = quoted_name(error.description);
    std::vector<std::string> known;
    if (const json* properties = properties_at(document, path); properties != nullptr) {
      for (const auto& [key, ignored] : properties->items()) known.push_back(key);
    }
    const std::string near = nearest(name, known);
    throw JobError(
        file, pointer + "/" + pointer_token(name),
        fmt::format("\"{}\" is unknown here; expected one of {}", name.substr(0, kMaxNameLength),
                    fmt::join(known, ", ")),
        near.empty() ? "docs/formats/job.md lists the options" : fmt::format("Did you mean \"{}\"?", near));
  }
  if (error.description.starts_with("Missing required property")) {
    const std::string name = quoted_name(error.description);
    path.push_back(name);
    throw JobError(file, pointer,
                   fmt::format("\"{}\" is missing: expected {}", name, expected_at(document, path)),
                   fmt::format("Add \"{}\"", name));
  }
  throw JobError(file, pointer,
                 fmt::format("expected {}, found {}", expected_at(document, path), shown(*value)),
                 "docs/formats/job.md describes the format");
}

}  // namespace

std::string pointer_token(std::string_view key) {
  std::string token;
  for (const char c : key) {
    if (c == '~')
      token += "~0";
    else if (c == '/')
      token += "~1";
    else
      token += c;
  }
  return token;
}

std::string nearest(std::string_view word, const std::vector<std::string>& names) {
  if (word.size() > kMaxNameLength) return {};
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string& name : names) {
    // Levenshtein distance, one row at a time.
    std::vector<std::size_t> row(name.size() + 1);
    for (std::size_t j = 0; j <= name.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= word.size(); ++i) {
      std::size_t diagonal = row[0];
      row[0] = i;
      for (std::size_t j = 1; j <= name.size(); ++j) {
        const std::size_t change = diagonal + (word[i - 1] == name[j - 1] ? 0 : 1);
        diagonal = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
      }
    }
    if (row.back() < best_distance) best = name, best_distance = row.back();
  }
  return best;
}

void check_schema(const json& document, std::string_view file) {
  valijson::Validator validator(valijson::Validator::kStrongTypes);
  valijson::ValidationResults results;
  if (validator.validate(schema(), NlohmannJsonAdapter(document), &results)) return;
  // The library reports the innermost failure first, then what failed because of it.
  throw_error(document, file, *results.begin());
}

}  // namespace llmq::job
