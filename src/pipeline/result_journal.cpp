#include "pipeline/result_journal.hpp"

#include <bit>
#include <cstring>

#include "llmq/core/hash.hpp"

#include "pipeline/journal_file.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMostNumbers = 4096;
constexpr std::size_t kHead = 2;  // unit, how many numbers; behind these a checksum of all before it

std::uint64_t checksum_of(std::span<const std::uint64_t> words) { return checksum64(std::as_bytes(words)); }

}  // namespace

ResultJournal::ResultJournal(const std::optional<fs::path>& directory, const std::string& name, int rank) {
  if (directory) file_ = open_journal_file(*directory, name, rank);
}

void ResultJournal::record(std::uint64_t unit, std::span<const double> result) {
  std::vector<std::uint64_t> words = {unit, result.size()};
  for (const double value : result) words.push_back(std::bit_cast<std::uint64_t>(value));
  words.push_back(checksum_of(words));
  const std::lock_guard lock(mutex_);
  results_[unit].assign(result.begin(), result.end());
  if (file_.is_open()) file_.append(std::as_bytes(std::span(words)));
}

UnitResults ResultJournal::read_all(const fs::path& directory, const std::string& name) {
  UnitResults found;
  for_each_journal_file(directory, name, [&](const std::string& bytes) {
    std::vector<std::uint64_t> words(bytes.size() / sizeof(std::uint64_t));
    std::memcpy(words.data(), bytes.data(), words.size() * sizeof(std::uint64_t));
    for (std::size_t at = 0; at + kHead < words.size();) {
      const std::uint64_t count = words[at + 1];
      if (count > kMostNumbers || at + kHead + count >= words.size()) break;  // torn
      const std::span<const std::uint64_t> record(words.data() + at, kHead + count);
      if (words[at + kHead + count] != checksum_of(record)) break;
      std::vector<double>& result = found[words[at]];
      result.clear();
      for (const std::uint64_t word : record.subspan(kHead)) result.push_back(std::bit_cast<double>(word));
      at += kHead + count + 1;
    }
  });
  return found;
}

}  // namespace llmq
