// One file over several connections, from servers of every kind, without a network.
#include <atomic>
#include <functional>
#include <mutex>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "llmq/core/file.hpp"

#include "hub/transfer.hpp"
#include "support/scratch.hpp"

namespace {
using namespace llmq;
using namespace llmq::hub;

constexpr std::uint64_t kMebibyte = std::uint64_t{1} << 20;

/// What a server does with its file, and what it was asked for.
struct Server {
  std::string content;
  bool ranges = true;
  std::string total;          ///< of Content-Range; empty: the truth
  std::atomic<int> cuts = 0;  ///< so many answers end after `cut_bytes`
  std::uint64_t cut_bytes = kMebibyte / 2;
  std::atomic<int> refusals = 0;  ///< so many answers have `refusal`
  int refusal = 503;
  std::mutex mutex;
  std::vector<std::string> asked;  ///< "0-99", or "all"

  std::uint64_t bytes_asked() {
    std::uint64_t sum = 0;
    for (const std::string& one : asked) {
      const std::size_t dash = one.find('-');
      sum += dash == std::string::npos ? content.size()
                                       : std::stoull(one.substr(dash + 1)) - std::stoull(one) + 1;
    }
    return sum;
  }
};

class ServerClient final : public HttpClient {
 public:
  ServerClient(Server& server, StopAsked stop) : server_(server), stop_(std::move(stop)) {}

  HttpOutcome get(const HttpRequest& request, HttpSink& sink) override {
    note(request);
    HttpOutcome outcome;
    outcome.ending = Ending::complete;
    if (server_.refusals.fetch_sub(1) > 0) {
      outcome.head.status = server_.refusal;
      sink.head(outcome.head);
      return outcome;
    }
    const bool partly = request.range && server_.ranges;
    const Interval piece = partly ? *request.range : Interval{0, server_.content.size()};
    outcome.head.status = partly ? 206 : 200;
    outcome.head.headers["content-length"] = std::to_string(piece.size());
    if (partly) {
      outcome.head.headers["content-range"] =
          fmt::format("bytes {}-{}/{}", piece.begin, piece.end - 1,
                      server_.total.empty() ? std::to_string(server_.content.size()) : server_.total);
    }
    if (sink.head(outcome.head)) outcome.ending = send(piece, sink);
    return outcome;
  }

 private:
  void note(const HttpRequest& request) {
    const std::lock_guard lock(server_.mutex);
    server_.asked.push_back(request.range ? fmt::format("{}-{}", request.range->begin, request.range->end - 1)
                                          : "all");
  }

  Ending send(Interval piece, HttpSink& sink) {
    const std::uint64_t end =
        server_.cuts.fetch_sub(1) > 0 ? std::min(piece.end, piece.begin + server_.cut_bytes) : piece.end;
    for (std::uint64_t at = piece.begin; at < end; at += 65536) {
      if (stop_()) return Ending::stopped;
      const std::string_view bytes(server_.content.data() + at, std::min<std::uint64_t>(65536, end - at));
      if (!sink.body(std::as_bytes(std::span(bytes)))) return Ending::stopped;
    }
    return end == piece.end ? Ending::complete : Ending::broken;
  }

  Server& server_;
  StopAsked stop_;
};

struct TransferTest : ::testing::Test {
  testing_support::ScratchDirectory scratch;
  Server server;
  ModelId id = *parse_model_id("org/name");
  Settings settings;
  std::function<bool()> stop = [] { return false; };
  std::uint64_t told = 0;
  std::function<void(std::uint64_t)> progress = [this](std::uint64_t bytes) { told = bytes; };
  std::vector<std::string> notices;
  std::function<void(const std::string&)> notice = [this](const std::string& text) {
    notices.push_back(text);
  };
  MakeClient make_client = [this](const StopAsked& asked) {
    return std::make_unique<ServerClient>(server, asked);
  };

  TransferTest() {
    settings.endpoint = "https://hub";
    settings.patience_seconds = 0.6;
    server.content.resize(9 * kMebibyte + 17);
    for (std::size_t at = 0; at < server.content.size(); ++at)
      server.content[at] = static_cast<char>(at * 2654435761u >> 13);
  }
  bool run(PartialFile& partial) {
    const RemoteFile file{"model.safetensors", server.content.size(), std::string(64, 'a')};
    return transfer({id, settings, make_client, stop, progress, notice}, "/file", file, partial);
  }
  bool run() {
    PartialFile partial(scratch / "blob", server.content.size());
    return run(partial);
  }
  std::string received() { return read_file(scratch / "blob.llmq-partial", 64 * kMebibyte); }
};

TEST_F(TransferTest, pieces_from_several_connections_make_the_file) {
  EXPECT_TRUE(run());
  EXPECT_EQ(received(), server.content);
  EXPECT_EQ(server.asked.size(), 5u);
  EXPECT_EQ(server.bytes_asked(), server.content.size());
}

TEST_F(TransferTest, a_small_file_is_asked_for_whole) {
  server.content.resize(1000);
  EXPECT_TRUE(run());
  EXPECT_EQ(server.asked, std::vector<std::string>{"all"});
}

TEST_F(TransferTest, only_what_is_missing) {
  PartialFile partial(scratch / "blob", server.content.size());
  const std::string_view front(server.content.data(), 5 * kMebibyte);
  partial.write(std::as_bytes(std::span(front)), 0);
  partial.received({0, front.size()});

  EXPECT_TRUE(run(partial));
  EXPECT_EQ(received(), server.content);
  EXPECT_EQ(server.bytes_asked(), server.content.size() - front.size());
}

TEST_F(TransferTest, cut_connections_go_on_in_the_middle) {
  server.cuts = 3;
  EXPECT_TRUE(run());
  EXPECT_EQ(received(), server.content);
  EXPECT_EQ(notices.size(), 3u);
  EXPECT_EQ(server.bytes_asked(), server.content.size() + 3 * (2 * kMebibyte - server.cut_bytes));
}

TEST_F(TransferTest, servers_without_ranges_send_the_file_once) {
  server.ranges = false;
  EXPECT_TRUE(run());
  EXPECT_EQ(received(), server.content);
  EXPECT_EQ(std::count(server.asked.begin(), server.asked.end(), "all"), 1);
}

TEST_F(TransferTest, without_ranges_a_cut_file_starts_again_a_few_times) {
  server.ranges = false;
  server.cuts = 1;
  EXPECT_TRUE(run());
  EXPECT_EQ(received(), server.content);

  server.cuts = 1000;
  PartialFile(scratch / "blob", server.content.size()).remove();
  EXPECT_THROW(run(), Error);
}

TEST_F(TransferTest, errors_that_pass_and_errors_that_stay) {
  server.refusals = 1;
  EXPECT_TRUE(run());
  EXPECT_EQ(received(), server.content);

  PartialFile(scratch / "blob", server.content.size()).remove();
  server.refusals = 1000;
  try {
    run();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::general);
    EXPECT_NE(error.suggestion().find("is kept"), std::string::npos);
  }
}

TEST_F(TransferTest, refusals_have_their_codes) {
  for (const auto& [status, code] :
       {std::pair(401, ExitCode::authentication_required), std::pair(403, ExitCode::authentication_required),
        std::pair(404, ExitCode::model_not_found), std::pair(418, ExitCode::general)}) {
    server.refusals = 1000;
    server.refusal = status;
    try {
      run();
      FAIL() << status;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << status;
    }
  }
}

TEST_F(TransferTest, another_size_than_listed_is_wrong_content) {
  server.total = "12345678";
  EXPECT_THROW(run(), WrongContent);
  server.total = "*";
  EXPECT_THROW(run(), WrongContent);

  server.content.resize(1000);
  const RemoteFile file{"config.json", 999, std::string(40, 'a')};
  PartialFile partial(scratch / "other", 999);
  EXPECT_THROW(transfer({id, settings, make_client, stop, progress, notice}, "/file", file, partial),
               WrongContent);
}

TEST_F(TransferTest, stopped_from_outside) {
  server.refusals = 1000000;
  settings.patience_seconds = 60;
  stop = [] { return true; };
  EXPECT_FALSE(run());
}

}  // namespace
