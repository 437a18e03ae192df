#include "hub/piece_sink.hpp"

#include <fmt/format.h>

#include "hub/names.hpp"

namespace llmq::hub {
namespace {

/// Lost at most by a kill: this much a connection.
constexpr std::uint64_t kNoteBytes = std::uint64_t{1} << 20;

}  // namespace

void PieceSink::check_range(const HttpHead& head) {
  const std::string found = head.header("content-range");
  const std::string wanted = fmt::format("bytes {}-{}/{}", piece_.begin, piece_.end - 1, size_);
  if (found != wanted) problem_ = fmt::format("\"{}\" came where \"{}\" was due", shown(found), wanted);
}

bool PieceSink::head(const HttpHead& head) {
  if (head.status == 206 && asked_range_) {
    check_range(head);
    return problem_.empty();
  }
  if (head.status == 416)
    problem_ = fmt::format("the server has no bytes {}-{}", piece_.begin, piece_.end - 1);
  if (head.status != 200) return false;
  if (asked_range_) {
    ranges_ignored_ = true;
    return false;
  }
  const std::optional<std::uint64_t> length = head.number("content-length");
  if (length && *length != size_) problem_ = fmt::format("it has {} bytes, {} are listed", *length, size_);
  return problem_.empty();
}

bool PieceSink::body(std::span<const std::byte> bytes) {
  if (bytes.size() > piece_.end - position_) {
    problem_ = "more bytes came than are listed";
    return false;
  }
  partial_.write(bytes, position_);
  position_ += bytes.size();
  arrived_ += bytes.size();
  if (position_ - noted_ >= kNoteBytes) note();
  return true;
}

void PieceSink::note() {
  if (position_ > noted_) partial_.received({noted_, position_});
  noted_ = position_;
}

}  // namespace llmq::hub
