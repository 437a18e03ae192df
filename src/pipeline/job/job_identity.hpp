// What decides a step's result, as named fields: its type, its options, and the content of its inputs.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "llmq/pipeline/job.hpp"

namespace llmq::job {

/// Content hashes by path, each computed once a run.
class ContentIndex {
 public:
  /// @param profile_directory  where profiles are found by name, beside the presets
  explicit ContentIndex(std::filesystem::path profile_directory = {})
      : profile_directory_(std::move(profile_directory)) {}

  /// SHA-256 of a file's bytes, lower-case hex. @throws Error(code) when it is missing.
  const std::string& file(const std::filesystem::path& path, ExitCode code);
  /// Of what a step has written: a file's bytes, or names and bytes of a directory's files.
  const std::string& output(const std::filesystem::path& path);
  /// Of a directory: the model's fingerprint and the texts beside its weights; of a file: its bytes.
  /// @throws Error(model_not_found | validation | unsupported_conversion).
  const std::string& model(const std::filesystem::path& path);
  /// Content hash, whatever the file format. @throws Error(imatrix).
  const std::string& imatrix(const std::filesystem::path& path);
  /// SHA-256 of what a profile says, found by path or name. @throws Error(profile).
  const std::string& profile(const std::string& name_or_path);
  /// After a step has written `path`.
  void forget(const std::filesystem::path& path);

 private:
  std::filesystem::path profile_directory_;
  std::map<std::string, std::string> hashes_;
};

using Fields = std::vector<std::pair<std::string, std::string>>;

/// In the order of options; what only says where the result goes is left out.  Example: {"type", "analyze"},
/// {"version", "0.1.0"}, {"ctx", "512"}, {"model", "pebble sha256:ab12..."}.
/// @throws Error with the contract's codes for an input that is missing or malformed.
Fields step_fields(const JobStep& step, ContentIndex& contents);
/// SHA-256 over the fields, lower-case hex.
std::string step_key(const Fields& fields);

}  // namespace llmq::job
