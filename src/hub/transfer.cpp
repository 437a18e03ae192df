#include "hub/transfer.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include <fmt/format.h>

#include "hub/answers.hpp"
#include "hub/hub_client.hpp"
#include "hub/patience.hpp"
#include "hub/piece_sink.hpp"

namespace llmq::hub {
namespace {

constexpr std::size_t kConnections = 4;
/// Of a file that cannot be continued in the middle.
constexpr int kMostStarts = 5;
constexpr auto kGlance = std::chrono::milliseconds(100);

class Transfer {
 public:
  Transfer(const TransferContext& context, std::string path, const RemoteFile& file, PartialFile& partial)
      : context_(context), path_(std::move(path)), file_(file), partial_(partial) {}

  bool run() {
    const std::vector<Interval> requests = plan_requests(partial_.missing(), piece_bytes(file_.size_bytes));
    todo_.assign(requests.begin(), requests.end());
    if (!todo_.empty()) run_workers(std::min(kConnections, todo_.size()));
    if (ranges_ignored_ && !stopped_) {
      context_.notice(fmt::format("{}: the server sends whole files only", file_.name));
      start_over();
      quit_ = false;
      todo_ = {{0, file_.size_bytes}};
      run_workers(1);
    }
    return !stopped_;
  }

 private:
  void run_workers(std::size_t count) {
    active_ = count;
    std::vector<std::jthread> threads;
    try {
      for (std::size_t i = 0; i < count; ++i) threads.emplace_back([this] { work(); });
      watch();
    } catch (...) {
      quit_ = true;
      throw;  // joining them on the way
    }
    threads.clear();
    tell();
    if (failure_) std::rethrow_exception(failure_);
  }

  /// The calling thread's part while others work.
  void watch() {
    std::unique_lock lock(mutex_);
    while (!done_.wait_for(lock, kGlance, [this] { return active_ == 0; })) {
      lock.unlock();
      context_.progress(arrived_);
      tell();
      if (context_.stop()) stopped_ = quit_ = true;
      lock.lock();
    }
  }

  void tell() {
    std::deque<std::string> notices;
    {
      const std::lock_guard lock(mutex_);
      notices.swap(notices_);
    }
    for (const std::string& notice : notices) context_.notice(notice);
  }

  void work() noexcept {
    try {
      HubClient client(context_.make_client([this] { return quit_.load(); }), context_.settings.endpoint,
                       context_.settings.token);
      while (const std::optional<Interval> piece = take()) fetch(client, *piece);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
      quit_ = true;
    }
    const std::lock_guard lock(mutex_);
    --active_;
    done_.notify_all();
  }

  std::optional<Interval> take() {
    const std::lock_guard lock(mutex_);
    if (quit_ || todo_.empty()) return std::nullopt;
    const Interval piece = todo_.front();
    todo_.pop_front();
    return piece;
  }

  void fetch(HubClient& client, Interval piece) {
    Patience patience(context_.settings.patience_seconds, [this] { return quit_.load(); });
    int starts = 1;
    while (piece.size() > 0 && !quit_) {
      const bool whole = piece == Interval{0, file_.size_bytes};
      PieceSink sink(partial_, file_.size_bytes, piece, !whole, arrived_);
      HubAnswer answer = client.get(path_, whole ? std::nullopt : std::optional(piece), sink);
      sink.note();
      if (!sink.problem().empty()) throw WrongContent(fmt::format("{}: {}", file_.name, sink.problem()));
      if (sink.position() > piece.begin) patience.refresh();
      piece.begin = sink.position();
      if (sink.ranges_ignored()) {
        if (!ranges_ignored_.exchange(true) || active_workers() > 1) {
          quit_ = true;  // all together from the start, over one connection
          return;
        }
        if (++starts > kMostStarts) lose_patience(lost_, context_.id, context_.settings, file_.name);
        start_over();
        piece.begin = 0;
        continue;
      }
      if (piece.size() == 0 || quit_) return;
      try_again(std::move(answer), patience);
    }
  }

  /// Waits, or throws what there is no way around.
  void try_again(HubAnswer answer, Patience& patience) {
    const Verdict verdict = judge(answer);
    if (verdict == Verdict::give_up) refuse(answer, context_.id, context_.settings, file_.name);
    if (verdict == Verdict::good) {
      answer.outcome.ending = Ending::broken;
      answer.outcome.reason = "the answer ended early";
    }
    {
      const std::lock_guard lock(mutex_);
      lost_ = answer;
      notices_.push_back(fmt::format("{}: {}; trying again", file_.name, reason_of(answer)));
    }
    const bool again = patience.wait(answer.outcome.head.number("retry-after"));
    if (!again && !quit_) lose_patience(answer, context_.id, context_.settings, file_.name);
  }

  std::size_t active_workers() {
    const std::lock_guard lock(mutex_);
    return active_;
  }

  void start_over() {
    partial_.start_over();
    arrived_ = 0;
  }

  const TransferContext& context_;
  const std::string path_;
  const RemoteFile& file_;
  PartialFile& partial_;
  std::atomic<std::uint64_t> arrived_ = 0;  ///< in this run
  std::atomic<bool> quit_ = false;          ///< workers are to end
  std::atomic<bool> ranges_ignored_ = false;
  bool stopped_ = false;  ///< from outside

  std::mutex mutex_;  ///< of what follows
  std::condition_variable done_;
  std::deque<Interval> todo_;
  std::size_t active_ = 0;
  std::exception_ptr failure_;
  std::deque<std::string> notices_;
  HubAnswer lost_;  ///< the last answer that was no good
};

}  // namespace

bool transfer(const TransferContext& context, const std::string& path, const RemoteFile& file,
              PartialFile& partial) {
  return Transfer(context, path, file, partial).run();
}

}  // namespace llmq::hub
