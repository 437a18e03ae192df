// An answer's body on its way into a partial file. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <string>

#include "hub/http.hpp"
#include "hub/partial_file.hpp"

namespace llmq::hub {

/// Takes bytes [position, end) of a file of `size` bytes, if that is what comes.
class PieceSink final : public HttpSink {
 public:
  /// @param asked_range  a range was asked for, so a whole file is no answer
  PieceSink(PartialFile& partial, std::uint64_t size, Interval piece, bool asked_range,
            std::atomic<std::uint64_t>& arrived)
      : partial_(partial),
        size_(size),
        piece_(piece),
        noted_(piece.begin),
        position_(piece.begin),
        asked_range_(asked_range),
        arrived_(arrived) {}

  bool head(const HttpHead& head) override;
  bool body(std::span<const std::byte> bytes) override;
  /// Notes in the journal what has been written since the last time.
  void note();

  std::uint64_t position() const noexcept { return position_; }
  bool ranges_ignored() const noexcept { return ranges_ignored_; }
  /// How the answer differs from what was listed; empty when it does not.
  const std::string& problem() const noexcept { return problem_; }

 private:
  void check_range(const HttpHead& head);

  PartialFile& partial_;
  std::uint64_t size_;
  Interval piece_;
  std::uint64_t noted_;
  std::uint64_t position_;
  bool asked_range_;
  bool ranges_ignored_ = false;
  std::string problem_;
  std::atomic<std::uint64_t>& arrived_;
};

}  // namespace llmq::hub
