// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "llmq/report/quality_report.hpp"

#include "report/quality_fields.hpp"

namespace llmq {
namespace {

using Json = nlohmann::ordered_json;

/// A field of a row: quoted where it must be.
std::string field(const Json& value) {
  const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

}  // namespace

std::string compare_csv(const CompareResult& result) {
  std::string header, rows;
  for (const QualityResult& candidate : result.candidates) {
    const Json row = candidate_json(candidate, result.metrics);
    std::string names, values;
    for (const auto& [name, value] : row.items()) {
      names += (names.empty() ? "" : ",") + name;
      values += (values.empty() ? "" : ",") + field(value);
    }
    header = names;
    rows += values + "\n";
  }
  return header + "\n" + rows;
}

}  // namespace llmq
