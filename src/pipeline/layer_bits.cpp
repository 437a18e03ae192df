#include "llmq/pipeline/layer_bits.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/core/json.hpp"
#include "llmq/core/json_schema.hpp"
#include "llmq/embedded/schemas.hpp"

namespace llmq {
namespace {

using nlohmann::json;

constexpr std::uint64_t kMaxBytes = std::uint64_t{1} << 20;

const JsonSchema& schema() {
  static const JsonSchema parsed(embedded_layer_bits_schema());
  return parsed;
}

[[noreturn]] void fail(const std::filesystem::path& file, const std::string& pointer, std::string_view reason,
                       const std::string& suggestion, ExitCode code = ExitCode::invalid_arguments) {
  throw Error(code,
              fmt::format("{}: {}: {}", file.string(), pointer.empty() ? "the document" : pointer, reason),
              suggestion);
}

void check_schema(const json& document, const std::filesystem::path& file) {
  auto failure = schema().check(document);
  if (!failure) return;
  constexpr const char* kSee = "docs/formats/layer-bits.md describes the format";
  switch (failure->kind) {
    case SchemaFailure::Kind::unknown_member:
      fail(file, failure->pointer() + "/" + pointer_token(failure->name), "unknown here", kSee);
    case SchemaFailure::Kind::missing_member:
      fail(file, failure->pointer(), fmt::format("\"{}\" is missing", failure->name),
           fmt::format("Add \"{}\"", failure->name));
    case SchemaFailure::Kind::wrong_value:
      break;
  }
  const std::string expected =
      failure->path.empty() ? "an object with version and rules" : schema().described(failure->path);
  fail(file, failure->pointer(), fmt::format("expected {}, found {}", expected, failure->shown), kSee);
}

}  // namespace

std::vector<TypeRule> parse_layer_bits(std::string_view text, const std::filesystem::path& file) {
  const json document = parse_json_strict(text, file.string(), ExitCode::invalid_arguments);
  check_schema(document, file);
  std::vector<TypeRule> rules;
  for (const json& rule : document["rules"]) {
    try {
      rules.push_back(make_type_rule(rule["pattern"].get<std::string>(), rule["type"].get<std::string>()));
    } catch (const Error& error) {
      fail(file, fmt::format("/rules/{}", rules.size()), error.what(), error.suggestion(), error.code());
    }
  }
  return rules;
}

std::vector<TypeRule> read_layer_bits(const std::filesystem::path& file) {
  if (!std::filesystem::exists(file) || std::filesystem::is_directory(file)) {
    throw Error(ExitCode::invalid_arguments,
                fmt::format("--layer-bits {}: {}", file.string(),
                            std::filesystem::exists(file) ? "is a directory" : "no such file"),
                "Give a JSON file, docs/formats/layer-bits.md");
  }
  std::string text;
  try {
    text = read_file(file, kMaxBytes, static_cast<int>(ExitCode::invalid_arguments));
  } catch (const FormatError& error) {
    throw Error(ExitCode::invalid_arguments, error.what(), "Such a file is a small JSON document");
  }
  return parse_layer_bits(text, file);
}

}  // namespace llmq
