#include <algorithm>
#include <fstream>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "llmq/core/error.hpp"

namespace llmq {
namespace {

/// Rows of docs/exit-codes.md: "| 3 | ModelNotFoundError | when |".
std::vector<std::string> documented_rows() {
  std::ifstream file(LLMQ_TEST_DATA "/../../docs/exit-codes.md");
  std::vector<std::string> rows;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("| ") && line[2] >= '0' && line[2] <= '9') rows.push_back(line);
  }
  return rows;
}

TEST(ExitCodes, TheDocumentSaysWhatTheTableSays) {
  std::vector<std::string> rows;
  for (const ExitCodeRow& row : exit_codes()) {
    if (row.when.empty()) continue;
    const std::string type = row.code == ExitCode::ok ? "" : std::string(row.type) + " ";
    rows.push_back(fmt::format("| {} | {}| {} |", static_cast<int>(row.code), type, row.when));
  }
  EXPECT_EQ(documented_rows(), rows);
}

TEST(ExitCodes, CodesAscendAndTypesAreUnique) {
  std::vector<std::string_view> types;
  for (const ExitCodeRow& row : exit_codes()) types.push_back(row.type);
  EXPECT_TRUE(std::is_sorted(exit_codes().begin(), exit_codes().end(),
                             [](const auto& a, const auto& b) { return a.code < b.code; }));
  std::sort(types.begin(), types.end());
  EXPECT_EQ(std::adjacent_find(types.begin(), types.end()), types.end());
}

}  // namespace
}  // namespace llmq
