// What the program says while it works: status lines, warnings and progress bars on stderr (and a log file).
// stdout is never touched here: it belongs to results.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace llmq {

enum class Verbosity { quiet, normal, verbose, debug };

/// Options of the log of one process.
struct LogOptions {
  Verbosity verbosity = Verbosity::normal;
  bool speaks = true;        ///< false on ranks other than 0 (they still write to the log file in debug)
  bool terminal = false;     ///< stderr is a terminal and no launcher sits in between: bars redraw in place
  std::string file;          ///< path of a log file, empty for none
  std::string debug_prefix;  ///< e.g. "rank 3" in front of debug lines
};

/// One log for the run, passed by reference. Not thread-safe except where said.
class Log {
 public:
  explicit Log(LogOptions options);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  /// "[llm-quantize] text": what the run is doing.
  void status(std::string_view text);
  /// Only with --verbosity verbose and above.
  void detail(std::string_view text);
  /// Only with --verbosity debug; every rank speaks.
  void debug(std::string_view text);
  /// Shown, and kept for the `warnings` of the JSON result. The same text is said once.
  void warn(const std::string& text);
  const std::vector<std::string>& warnings() const noexcept { return warnings_; }

  const LogOptions& options() const noexcept { return options_; }

 private:
  friend class ProgressBar;
  void emit(std::string_view line);

  LogOptions options_;
  std::vector<std::string> warnings_;
  struct FileSink;
  std::unique_ptr<FileSink> file_;
};

/// "Analyzing ━━━━━━ 50% 16/32 layers [00:45 elapsed, 00:44 left]". On a terminal redrawn in place, at most
/// ten times a second; elsewhere plain lines, at most one every ten seconds and one at the end.
class ProgressBar {
 public:
  ProgressBar(Log& log, std::string verb, std::uint64_t total, std::string unit);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  /// @param done whole units finished   @param fraction share of all work done in [0, 1]; negative:
  /// done/total
  void update(std::uint64_t done, double fraction = -1);
  /// Draws the full bar once.
  void finish();
  double elapsed_seconds() const;

 private:
  std::string render(std::uint64_t done, double fraction, bool final) const;
  void draw(std::uint64_t done, double fraction, bool final);

  Log& log_;
  std::string verb_;
  std::uint64_t total_;
  std::string unit_;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point last_draw_;
  bool drawn_ = false;
  bool finished_ = false;
};

}  // namespace llmq
