#include "hub/curl/curl_client.hpp"

#include <algorithm>
#include <curl/curl.h>
#include <exception>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"

namespace llmq::hub {
namespace {

constexpr double kConnectSeconds = 20;
/// A body nobody wants is read to its end if it is short: that keeps the connection.
constexpr std::size_t kMostDiscarded = std::size_t{64} << 10;
constexpr std::size_t kMostHeaderBytes = std::size_t{64} << 10;

/// Failures of networks and servers that pass by; certificates and settings do not.
bool may_pass(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_WEIRD_SERVER_REPLY:
      return true;
    default:
      return false;
  }
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() &&
         (text.back() == ' ' || text.back() == '\r' || text.back() == '\n' || text.back() == '\t'))
    text.remove_suffix(1);
  return text;
}

/// One transfer: what libcurl's callbacks see.
struct Transfer {
  HttpSink& sink;
  const StopAsked& stop;
  HttpHead head;
  std::size_t header_bytes = 0;
  bool head_given = false;
  bool wanted = false;  ///< the body
  std::size_t discarded = 0;
  bool stopped = false;
  std::exception_ptr thrown;

  /// Exceptions may not pass through libcurl.
  template <typename Work>
  bool guarded(Work work) noexcept {
    try {
      return work();
    } catch (...) {
      thrown = std::current_exception();
      return false;
    }
  }

  bool take_header(std::string_view line) {
    if ((header_bytes += line.size()) > kMostHeaderBytes) return false;
    if (line.starts_with("HTTP/")) {
      const std::size_t space = line.find(' ');
      head = {space == std::string_view::npos ? 0 : std::atoi(std::string(line.substr(space + 1)).c_str()),
              {}};
      return true;
    }
    const std::size_t colon = line.find(':');
    if (colon != std::string_view::npos) {
      head.headers[to_lower(trimmed(line.substr(0, colon)))] = trimmed(line.substr(colon + 1));
    } else if (trimmed(line).empty() && head.status >= 200 && !head_given) {
      head_given = true;
      wanted = sink.head(head);
    }
    return true;
  }

  bool take_body(std::span<const std::byte> bytes) {
    if (!wanted) return (discarded += bytes.size()) <= kMostDiscarded;
    if (sink.body(bytes)) return true;
    stopped = true;
    return false;
  }
};

std::size_t on_header(char* data, std::size_t size, std::size_t count, void* self) {
  Transfer& transfer = *static_cast<Transfer*>(self);
  return transfer.guarded([&] { return transfer.take_header({data, size * count}); }) ? size * count : 0;
}

std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self) {
  Transfer& transfer = *static_cast<Transfer*>(self);
  const std::span<const char> bytes(data, size * count);
  return transfer.guarded([&] { return transfer.take_body(std::as_bytes(bytes)); }) ? size * count : 0;
}

int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  Transfer& transfer = *static_cast<Transfer*>(self);
  if (!transfer.guarded([&] { return transfer.stop(); })) return 0;
  transfer.stopped = true;
  return 1;
}

class CurlClient final : public HttpClient {
 public:
  CurlClient(double silence_seconds, StopAsked stop) : stop_(std::move(stop)), handle_(curl_easy_init()) {
    if (handle_ == nullptr) throw Error(ExitCode::general, "cannot set up libcurl");
    set(CURLOPT_ERRORBUFFER, error_);
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_NOPROGRESS, 0L);
    set(CURLOPT_FOLLOWLOCATION, 0L);  // where the token may go is decided in hub_client
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);  // a proxy's answer is not the server's
    set(CURLOPT_USERAGENT, "llm-quantize/" LLMQ_VERSION);
    set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(1000 * std::min(kConnectSeconds, silence_seconds)));
    set(CURLOPT_LOW_SPEED_LIMIT, 1L);
    set(CURLOPT_LOW_SPEED_TIME, std::max(1L, static_cast<long>(silence_seconds)));
    set(CURLOPT_HEADERFUNCTION, &on_header);
    set(CURLOPT_WRITEFUNCTION, &on_body);
    set(CURLOPT_XFERINFOFUNCTION, &on_progress);
  }
  ~CurlClient() override { curl_easy_cleanup(handle_); }
  CurlClient(const CurlClient&) = delete;
  CurlClient& operator=(const CurlClient&) = delete;

  HttpOutcome get(const HttpRequest& request, HttpSink& sink) override {
    Transfer transfer{sink, stop_, {}, 0, false, false, 0, false, nullptr};
    set(CURLOPT_URL, request.url.c_str());
    set(CURLOPT_HEADERDATA, &transfer);
    set(CURLOPT_WRITEDATA, &transfer);
    set(CURLOPT_XFERINFODATA, &transfer);
    const std::string range =
        request.range ? fmt::format("{}-{}", request.range->begin, request.range->end - 1) : std::string();
    set(CURLOPT_RANGE, request.range ? range.c_str() : nullptr);
    curl_slist* headers = nullptr;
    if (!request.bearer.empty())
      headers = curl_slist_append(headers, ("Authorization: Bearer " + request.bearer).c_str());
    set(CURLOPT_HTTPHEADER, headers);
    error_[0] = '\0';
    const CURLcode code = curl_easy_perform(handle_);
    set(CURLOPT_HTTPHEADER, static_cast<curl_slist*>(nullptr));
    curl_slist_free_all(headers);
    if (transfer.thrown) std::rethrow_exception(transfer.thrown);
    return outcome(code, transfer);
  }

 private:
  template <typename Value>
  void set(CURLoption option, Value value) {
    if (curl_easy_setopt(handle_, option, value) != CURLE_OK)
      throw Error(ExitCode::general, "libcurl lacks an option this program needs");
  }

  HttpOutcome outcome(CURLcode code, Transfer& transfer) const {
    // A long body that nobody wanted was cut by us: its head is the answer.
    const bool enough = transfer.head_given && !transfer.wanted && code == CURLE_WRITE_ERROR;
    if (transfer.stopped) return {Ending::stopped, std::move(transfer.head), ""};
    if (code == CURLE_OK || enough) return {Ending::complete, std::move(transfer.head), ""};
    const std::string words = error_[0] != '\0' ? error_ : curl_easy_strerror(code);
    return {may_pass(code) ? Ending::broken : Ending::failed, std::move(transfer.head), words};
  }

  StopAsked stop_;
  CURL* handle_;
  char error_[CURL_ERROR_SIZE] = {};
};

}  // namespace

MakeClient curl_clients(double silence_seconds) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (ready != CURLE_OK) throw Error(ExitCode::general, "cannot set up libcurl");
  return [silence_seconds](const StopAsked& stop) -> std::unique_ptr<HttpClient> {
    return std::make_unique<CurlClient>(silence_seconds, stop);
  };
}

}  // namespace llmq::hub
