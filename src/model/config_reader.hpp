// Typed look-ups in a config.json. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "llmq/core/error.hpp"

namespace llmq {

inline constexpr std::uint64_t kMaxDimension = 1 << 24;  // far above any model; keeps products inside 64 bits

/// One object of a config file; errors are FormatError(validation) and carry the file's path and the key.
class ConfigReader {
 public:
  ConfigReader(const nlohmann::json& document, std::string path)
      : document_(document), path_(std::move(path)) {}

  bool has(const char* key) const { return document_.contains(key) && !document_[key].is_null(); }
  /// A whole number from 1 to `limit`.
  std::uint32_t count(const char* key, std::uint64_t limit = kMaxDimension) const {
    if (!has(key)) fail(fmt::format("\"{}\" is missing", key));
    const nlohmann::json& value = document_[key];
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() == 0 ||
        value.get<std::uint64_t>() > limit) {
      fail(fmt::format("\"{}\" must be a whole number from 1 to {}", key, limit));
    }
    return value.get<std::uint32_t>();
  }
  std::uint32_t count_or(const char* key, std::uint32_t fallback) const {
    return has(key) ? count(key) : fallback;
  }
  /// A positive number.
  double real_or(const char* key, double fallback) const {
    if (!has(key)) return fallback;
    const nlohmann::json& value = document_[key];
    if (!value.is_number() || !std::isfinite(value.get<double>()) || value.get<double>() <= 0) {
      fail(fmt::format("\"{}\" must be a positive number", key));
    }
    return value.get<double>();
  }
  bool flag_or(const char* key, bool fallback) const {
    if (!has(key)) return fallback;
    if (!document_[key].is_boolean()) fail(fmt::format("\"{}\" must be true or false", key));
    return document_[key].get<bool>();
  }
  std::string text_or(const char* key, std::string fallback) const {
    if (!has(key)) return fallback;
    if (!document_[key].is_string()) fail(fmt::format("\"{}\" must be a string", key));
    return document_[key].get<std::string>();
  }
  /// @throws Error(unsupported_conversion) when the model asks for windows that runtimes of it do not know.
  void refuse_sliding_window() const {
    if (flag_or("use_sliding_window", false))
      refuse("use_sliding_window is not supported for this architecture",
             "Set it to false: contexts below the window are the same");
  }
  const nlohmann::json& at(const char* key) const { return document_[key]; }
  [[noreturn]] void fail(std::string reason) const {
    throw FormatError(ExitCode::validation, path_, FormatError::kNoOffset, std::move(reason));
  }
  /// What is well said but not supported.
  [[noreturn]] void refuse(const std::string& reason, std::string suggestion) const {
    throw Error(ExitCode::unsupported_conversion, path_ + ": " + reason, std::move(suggestion));
  }
  const std::string& path() const { return path_; }

 private:
  const nlohmann::json& document_;
  std::string path_;
};

}  // namespace llmq
