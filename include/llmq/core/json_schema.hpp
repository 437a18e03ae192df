// JSON documents against the schemas in configs/schemas, and what failures need to become sentences.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace llmq {

/// The first value that breaks a schema.
struct SchemaFailure {
  enum class Kind { unknown_member, missing_member, wrong_value };
  Kind kind = Kind::wrong_value;
  std::vector<std::string> path;  ///< keys and indices that lead to the value; of members: to their object
  std::string name;               ///< of the member that is unknown or missing
  std::string shown;              ///< the value, cut to what a message can hold

  /// RFC 6901, "" for the whole document.
  std::string pointer() const;
};

/// A schema of draft 7.
class JsonSchema {
 public:
  /// @param text  a valid schema; it must be one of ours
  explicit JsonSchema(std::string_view text);
  ~JsonSchema();
  JsonSchema(const JsonSchema&) = delete;
  JsonSchema& operator=(const JsonSchema&) = delete;

  const nlohmann::json& document() const noexcept;
  /// The schema's description of what stands at `path` of a document ("a number from 1.5 to 16"), found
  /// through properties, items and additionalProperties; that of the innermost part it describes.
  std::string described(const std::vector<std::string>& path) const;
  /// Nothing when `document` is valid.
  std::optional<SchemaFailure> check(const nlohmann::json& document) const;

 private:
  struct Parsed;
  std::unique_ptr<Parsed> parsed_;
};

/// The one of `names` that `word` was probably meant to be; empty when none is near.
std::string nearest(std::string_view word, const std::vector<std::string>& names);

/// `key` as a part of a JSON pointer: "~" and "/" escaped.
std::string pointer_token(std::string_view key);

}  // namespace llmq
