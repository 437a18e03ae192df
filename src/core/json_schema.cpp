// The only file that sees valijson, whose headers are heavy.
#include "llmq/core/json_schema.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>

namespace llmq {
namespace {

using nlohmann::json;
using valijson::adapters::NlohmannJsonAdapter;

constexpr std::size_t kMaxShown = 60;  // bytes of a value that a message repeats
constexpr std::size_t kMaxWordLength = 64;

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

}  // namespace

struct JsonSchema::Parsed {
  json document;
  valijson::Schema schema;
};

JsonSchema::JsonSchema(std::string_view text) : parsed_(std::make_unique<Parsed>()) {
  parsed_->document = json::parse(text);
  valijson::SchemaParser(valijson::SchemaParser::kDraft7)
      .populateSchema(NlohmannJsonAdapter(parsed_->document), parsed_->schema);
}

JsonSchema::~JsonSchema() = default;

const json& JsonSchema::document() const noexcept { return parsed_->document; }

std::string JsonSchema::described(const std::vector<std::string>& path) const {
  const json* at = &parsed_->document;
  std::string text = at->value("description", "");
  for (const std::string& key : path) {
    const auto properties = at->find("properties");
    if (properties != at->end() && properties->contains(key))
      at = &(*properties)[key];
    else if (const auto other = at->find("additionalProperties"); other != at->end() && other->is_object())
      at = &*other;
    else if (const auto items = at->find("items"); items != at->end())
      at = &*items;
    else
      break;
    text = at->value("description", text);
  }
  return text;
}

std::optional<SchemaFailure> JsonSchema::check(const json& document) const {
  valijson::Validator validator(valijson::Validator::kStrongTypes);
  valijson::ValidationResults results;
  if (validator.validate(parsed_->schema, NlohmannJsonAdapter(document), &results)) return std::nullopt;
  // The library reports the innermost failure first, then what failed because of it.
  const valijson::ValidationResults::Error& error = *results.begin();
  SchemaFailure failure;
  const json* value = &document;
  for (std::size_t i = 1; i < error.context.size(); ++i) {  // the first is "<root>"
    const std::string key = error.context[i].substr(1, error.context[i].size() - 2);
    failure.path.push_back(key);
    value = value->is_array() ? &(*value)[std::stoul(key)] : &(*value)[key];
  }
  failure.shown = shown(*value);
  if (error.description.starts_with("Object contains a property")) {
    failure.kind = SchemaFailure::Kind::unknown_member;
    failure.name = quoted_name(error.description);
  } else if (error.description.starts_with("Missing required property")) {
    failure.kind = SchemaFailure::Kind::missing_member;
    failure.name = quoted_name(error.description);
  }
  return failure;
}

std::string SchemaFailure::pointer() const {
  std::string text;
  for (const std::string& key : path) text += "/" + pointer_token(key);
  return text;
}

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
  if (word.size() > kMaxWordLength) return {};
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

}  // namespace llmq
