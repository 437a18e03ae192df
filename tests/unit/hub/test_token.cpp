// Redirections: who sees the token, and where they end.
#include <gtest/gtest.h>

#include "hub/hub_client.hpp"

namespace {
using namespace llmq::hub;

struct Asked {
  std::string url, bearer;
};

/// Answers from a table of redirections; what it does not hold is 200.
class TableClient final : public HttpClient {
 public:
  TableClient(std::map<std::string, std::string> table, std::vector<Asked>& asked)
      : table_(std::move(table)), asked_(asked) {}
  HttpOutcome get(const HttpRequest& request, HttpSink& sink) override {
    asked_.push_back({request.url, request.bearer});
    HttpHead head;
    const auto found = table_.find(request.url);
    head.status = found == table_.end() ? 200 : 307;
    if (found != table_.end()) head.headers["location"] = found->second;
    sink.head(head);
    HttpOutcome outcome;
    outcome.ending = Ending::complete;
    outcome.head = head;
    return outcome;
  }

 private:
  std::map<std::string, std::string> table_;
  std::vector<Asked>& asked_;
};

struct Heads final : HttpSink {
  bool head(const HttpHead& head) override {
    seen.push_back(head.status);
    return true;
  }
  bool body(std::span<const std::byte>) override { return true; }
  std::vector<int> seen;
};

struct TokenTest : ::testing::Test {
  std::vector<Asked> asked;
  Heads sink;
  HubAnswer get(std::map<std::string, std::string> table) {
    HubClient client(std::make_unique<TableClient>(std::move(table), asked), "https://hub", "secret");
    return client.get("/x", std::nullopt, sink);
  }
};

TEST_F(TokenTest, goes_to_the_hub_alone) {
  const HubAnswer answer = get({{"https://hub/x", "/renamed"},
                                {"https://hub/renamed", "https://storage/x?key=1"},
                                {"https://storage/x?key=1", "https://hub:443/back"}});

  ASSERT_EQ(asked.size(), 4u);
  EXPECT_EQ(asked[0].bearer, "secret");
  EXPECT_EQ(asked[1].bearer, "secret");
  EXPECT_EQ(asked[2].bearer, "");
  EXPECT_EQ(asked[3].bearer, "secret");
  EXPECT_FALSE(answer.from_elsewhere);
  EXPECT_EQ(sink.seen, std::vector<int>{200});
}

TEST_F(TokenTest, not_to_hosts_that_look_alike) {
  for (const char* host : {"https://hub.evil/x", "https://hub:444/x", "https://evil/hub", "https://hubs/x"}) {
    asked.clear();
    const HubAnswer answer = get({{"https://hub/x", host}});
    ASSERT_EQ(asked.size(), 2u) << host;
    EXPECT_EQ(asked[1].bearer, "") << host;
    EXPECT_TRUE(answer.from_elsewhere);
  }
}

TEST_F(TokenTest, redirections_that_are_not_followed) {
  for (const char* location :
       {"", "http://hub/x", "ftp://hub/x", "https://hub@evil/x", "https://hub\\@evil/x"}) {
    asked.clear();
    EXPECT_EQ(get({{"https://hub/x", location}}).outcome.ending, Ending::failed) << location;
    EXPECT_EQ(asked.size(), 1u);
  }
  EXPECT_EQ(get({{"https://hub/x", "/x"}}).outcome.ending, Ending::failed);
}

}  // namespace
