#include "pipeline/journal_file.hpp"

#include <fmt/format.h>

namespace llmq {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxJournalBytes = std::uint64_t{1} << 32;

}  // namespace

File open_journal_file(const fs::path& directory, const std::string& name, int rank) {
  for (int start = 0;; ++start) {
    const fs::path path = directory / fmt::format("{}.{}.{}", name, start, rank);
    if (!fs::exists(path)) return File(path, File::Mode::append);
  }
}

void for_each_journal_file(const fs::path& directory, const std::string& name,
                           const std::function<void(const std::string& bytes)>& visit) {
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (entry.path().filename().string().starts_with(name + "."))
      visit(read_file(entry.path(), kMaxJournalBytes, 7));
  }
}

}  // namespace llmq
