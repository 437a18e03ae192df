#include "llmq/core/log.hpp"

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/basic_file_sink.h>

#include "llmq/core/text.hpp"

namespace llmq {
namespace {
constexpr auto kRedrawInterval = std::chrono::milliseconds(100);
constexpr auto kLineInterval = std::chrono::seconds(10);
constexpr int kBarCells = 20;
}  // namespace

struct Log::FileSink {
  spdlog::logger logger;
  explicit FileSink(const std::string& path)
      : logger("llm-quantize", std::make_shared<spdlog::sinks::basic_file_sink_st>(path)) {
    logger.set_pattern("%Y-%m-%dT%H:%M:%S.%e %v");
    logger.flush_on(spdlog::level::info);
  }
};

Log::Log(LogOptions options) : options_(std::move(options)) {
  if (!options_.file.empty() && options_.speaks) file_ = std::make_unique<FileSink>(options_.file);
}
Log::~Log() = default;

void Log::emit(std::string_view line) {
  if (file_) file_->logger.info(line);
  if (options_.verbosity == Verbosity::quiet) return;
  std::fwrite(line.data(), 1, line.size(), stderr);
  std::fputc('\n', stderr);
}

void Log::status(std::string_view text) {
  if (options_.speaks) emit(fmt::format("[llm-quantize] {}", text));
}

void Log::detail(std::string_view text) {
  if (options_.speaks && options_.verbosity >= Verbosity::verbose)
    emit(fmt::format("[llm-quantize] {}", text));
}

void Log::debug(std::string_view text) {
  if (options_.verbosity < Verbosity::debug) return;
  emit(options_.debug_prefix.empty() ? fmt::format("[llm-quantize] {}", text)
                                     : fmt::format("[llm-quantize {}] {}", options_.debug_prefix, text));
}

void Log::warn(const std::string& text) {
  if (std::find(warnings_.begin(), warnings_.end(), text) != warnings_.end()) return;
  warnings_.push_back(text);
  if (options_.speaks) emit(fmt::format("[llm-quantize] Warning: {}", text));
}

ProgressBar::ProgressBar(Log& log, std::string verb, std::uint64_t total, std::string unit)
    : log_(log),
      verb_(std::move(verb)),
      total_(total),
      unit_(std::move(unit)),
      start_(std::chrono::steady_clock::now()),
      last_draw_(start_) {}

ProgressBar::~ProgressBar() {
  // An exception passed by: leave the cursor on a line of its own.
  if (drawn_ && !finished_ && log_.options().terminal) std::fputc('\n', stderr);
}

double ProgressBar::elapsed_seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

std::string ProgressBar::render(std::uint64_t done, double fraction, bool final) const {
  std::string bar;
  const int filled = std::clamp(static_cast<int>(fraction * kBarCells), 0, kBarCells);
  for (int cell = 0; cell < kBarCells; ++cell) bar += cell < filled ? "━" : "─";
  const double elapsed = elapsed_seconds();
  std::string left;
  if (!final && fraction > 0.005) {
    left = fmt::format(", {} left", format_duration(elapsed * (1 - fraction) / fraction));
  }
  return fmt::format("{} {} {:3.0f}% {}/{} {} [{} elapsed{}]", verb_, bar, 100 * fraction, done, total_,
                     unit_, format_duration(elapsed), left);
}

void ProgressBar::draw(std::uint64_t done, double fraction, bool final) {
  const LogOptions& options = log_.options();
  if (!options.speaks) return;
  const std::string line = render(done, fraction, final);
  if (options.terminal && options.verbosity != Verbosity::quiet) {
    fmt::print(stderr, "\r\033[K{}{}", line, final ? "\n" : "");
    std::fflush(stderr);
    if (final && log_.file_) log_.file_->logger.info(line);
  } else {
    log_.emit(line);
  }
  drawn_ = true;
}

void ProgressBar::update(std::uint64_t done, double fraction) {
  const auto now = std::chrono::steady_clock::now();
  const auto pause = log_.options().terminal
                         ? std::chrono::duration_cast<std::chrono::milliseconds>(kRedrawInterval)
                         : std::chrono::duration_cast<std::chrono::milliseconds>(kLineInterval);
  if (now - last_draw_ < pause) return;
  last_draw_ = now;
  if (fraction < 0) fraction = total_ == 0 ? 1.0 : static_cast<double>(done) / static_cast<double>(total_);
  draw(done, fraction, false);
}

void ProgressBar::finish() {
  if (finished_) return;
  finished_ = true;
  draw(total_, 1.0, true);
}

}  // namespace llmq
