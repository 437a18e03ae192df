#include "pipeline/quantize_journal.hpp"

#include <array>
#include <cstring>
#include <string>

#include "llmq/core/hash.hpp"

#include "pipeline/journal_file.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;

/// unit, checksum of its bytes, checksum of the two: 24 bytes.
using Record = std::array<std::uint64_t, 3>;

Record make_record(std::uint64_t unit, std::uint64_t checksum) {
  const std::array<std::uint64_t, 2> body = {unit, checksum};
  return {unit, checksum, checksum64(std::as_bytes(std::span(body)))};
}

}  // namespace

QuantizeJournal::QuantizeJournal(const std::optional<fs::path>& directory, int rank) {
  if (directory) file_ = open_journal_file(*directory, "journal", rank);
}

void QuantizeJournal::record(std::uint64_t unit, std::uint64_t checksum) {
  const std::lock_guard lock(mutex_);
  records_[unit] = checksum;
  if (!file_.is_open()) return;
  const Record record = make_record(unit, checksum);
  file_.append(std::as_bytes(std::span(record)));
}

std::map<std::uint64_t, std::uint64_t> QuantizeJournal::read_all(const fs::path& directory) {
  std::map<std::uint64_t, std::uint64_t> claims;
  for_each_journal_file(directory, "journal", [&](const std::string& bytes) {
    for (std::size_t at = 0; at + sizeof(Record) <= bytes.size(); at += sizeof(Record)) {
      Record record{};
      std::memcpy(record.data(), bytes.data() + at, sizeof record);
      if (record == make_record(record[0], record[1])) claims[record[0]] = record[1];
    }
  });
  return claims;
}

}  // namespace llmq
