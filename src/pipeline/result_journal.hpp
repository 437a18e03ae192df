// Results of finished units, kept so that a killed run does not do them again: numbers by the unit's index.
// One append-only file a rank and start; torn records and those of another version are ignored.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "llmq/core/file.hpp"

namespace llmq {

using UnitResults = std::map<std::uint64_t, std::vector<double>>;

class ResultJournal {
 public:
  /// Opens a new file NAME.<start>.<rank> in `directory`. No directory: keeps results in memory only.
  ResultJournal(const std::optional<std::filesystem::path>& directory, const std::string& name, int rank);
  /// Thread-safe.
  void record(std::uint64_t unit, std::span<const double> result);
  /// Those recorded here.
  const UnitResults& results() const noexcept { return results_; }

  /// What all files of that name in a directory hold.
  static UnitResults read_all(const std::filesystem::path& directory, const std::string& name);

 private:
  std::mutex mutex_;
  File file_;
  UnitResults results_;
};

}  // namespace llmq
