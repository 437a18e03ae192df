#include "hub/partial_file.hpp"

#include <charconv>
#include <optional>
#include <string>
#include <sys/stat.h>

#include <fmt/format.h>

namespace llmq::hub {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxJournalBytes = std::uint64_t{64} << 20;

fs::path with_ending(fs::path path, const char* ending) { return path += ending; }
fs::path partial_path(const fs::path& blob) { return with_ending(blob, ".llmq-partial"); }
fs::path journal_path(const fs::path& blob) { return with_ending(blob, ".llmq-received"); }

/// "BEGIN END".
std::optional<Interval> parse_line(std::string_view line) {
  Interval interval;
  const char* end = line.data() + line.size();
  const auto first = std::from_chars(line.data(), end, interval.begin);
  if (first.ec != std::errc() || first.ptr == end || *first.ptr != ' ') return std::nullopt;
  const auto second = std::from_chars(first.ptr + 1, end, interval.end);
  if (second.ec != std::errc() || second.ptr != end) return std::nullopt;
  return interval;
}

/// What the journal says of a file of `size` bytes; nothing when the partial file has another.
Intervals read_journal(const fs::path& blob, std::uint64_t size) {
  Intervals intervals;
  const fs::path journal = journal_path(blob);
  std::error_code error;
  if (fs::file_size(partial_path(blob), error) != size || error) return intervals;
  if (!fs::is_regular_file(journal) || fs::file_size(journal) > kMaxJournalBytes) return intervals;
  const std::string text = read_file(journal, kMaxJournalBytes);
  std::string_view rest = text;
  for (std::size_t end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
    const std::optional<Interval> interval = parse_line(rest.substr(0, end));
    if (interval && interval->end <= size) intervals.add(*interval);
    rest.remove_prefix(end + 1);
  }
  return intervals;
}

}  // namespace

PartialFile::PartialFile(const fs::path& blob, std::uint64_t size)
    : blob_(blob),
      path_(partial_path(blob)),
      journal_path_(journal_path(blob)),
      size_(size),
      intervals_(read_journal(blob, size)) {
  file_ = File(path_, File::Mode::create);
  file_.preallocate(size_);
  if (intervals_.total() == 0) {
    start_over();
    return;
  }
  journal_ = File(journal_path_, File::Mode::append);
  journal_.append(std::as_bytes(std::span("\n", 1)));  // ends a line that a kill has torn
}

void PartialFile::received(Interval interval) {
  const std::lock_guard lock(mutex_);
  const std::string line = fmt::format("{} {}\n", interval.begin, interval.end);
  journal_.append(std::as_bytes(std::span(line)));
  intervals_.add(interval);
}

std::uint64_t PartialFile::received_bytes() const {
  const std::lock_guard lock(mutex_);
  return intervals_.total();
}

std::vector<Interval> PartialFile::missing() const {
  const std::lock_guard lock(mutex_);
  return intervals_.missing(size_);
}

void PartialFile::start_over() {
  const std::lock_guard lock(mutex_);
  intervals_ = Intervals();
  journal_.close();
  File(journal_path_, File::Mode::create_truncate).close();
  journal_ = File(journal_path_, File::Mode::append);
}

void PartialFile::publish() {
  file_.sync();
  publish_file(path_, blob_);
  std::error_code ignored;
  fs::remove(journal_path_, ignored);
}

void PartialFile::remove() noexcept {
  std::error_code ignored;
  fs::remove(journal_path_, ignored);  // first: bytes without a journal count for nothing
  fs::remove(path_, ignored);
}

std::uint64_t bytes_to_receive(const fs::path& blob, std::uint64_t size) {
  return size - read_journal(blob, size).total();
}

std::uint64_t bytes_to_reserve(const fs::path& blob, std::uint64_t size) {
  struct stat info {};
  if (::stat(partial_path(blob).c_str(), &info) != 0) return size;
  const std::uint64_t there = static_cast<std::uint64_t>(info.st_blocks) * 512;  // the unit of stat(2)
  return there >= size ? 0 : size - there;
}

}  // namespace llmq::hub
