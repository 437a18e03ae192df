#include "hub/hub_client.hpp"

#include <fmt/format.h>

#include "hub/url.hpp"

namespace llmq::hub {
namespace {

constexpr int kMostRedirections = 8;

bool is_redirection(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/// Keeps redirections to itself.
class LastAnswer final : public HttpSink {
 public:
  explicit LastAnswer(HttpSink& sink) : sink_(sink) {}
  bool head(const HttpHead& head) override { return !is_redirection(head.status) && sink_.head(head); }
  bool body(std::span<const std::byte> bytes) override { return sink_.body(bytes); }

 private:
  HttpSink& sink_;
};

}  // namespace

HubClient::HubClient(std::unique_ptr<HttpClient> client, std::string endpoint, std::string token)
    : client_(std::move(client)),
      endpoint_(std::move(endpoint)),
      origin_(origin_of(endpoint_)),
      token_(std::move(token)) {}

HubAnswer HubClient::get(const std::string& path, std::optional<Interval> range, HttpSink& sink) {
  LastAnswer last(sink);
  HttpRequest request{endpoint_ + path, {}, range};
  for (int hop = 0; hop <= kMostRedirections; ++hop) {
    const bool at_home = origin_of(request.url) == origin_;
    request.bearer = at_home ? token_ : std::string();
    HubAnswer answer{client_->get(request, last), !at_home};
    if (answer.outcome.ending != Ending::complete || !is_redirection(answer.outcome.head.status))
      return answer;
    const std::string target = redirected_url(request.url, answer.outcome.head.header("location"));
    if (target.empty()) {
      return {
          {Ending::failed, answer.outcome.head, "the server redirects to an address that is not followed"},
          !at_home};
    }
    request.url = target;
  }
  return {{Ending::failed, {}, fmt::format("more than {} redirections", kMostRedirections)}, false};
}

}  // namespace llmq::hub
