// One GET at a time over whatever speaks HTTP: what is asked, where the answer goes, how it ended. Only
// hub/curl knows the library behind it. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "hub/intervals.hpp"

namespace llmq::hub {

struct HttpRequest {
  std::string url;
  std::string bearer;             ///< empty: no Authorization header
  std::optional<Interval> range;  ///< bytes of the body; none: all
};

struct HttpHead {
  int status = 0;
  std::map<std::string, std::string> headers;  ///< names in lower case, values trimmed

  std::string header(std::string_view name) const;
  /// A header that is a decimal number.
  std::optional<std::uint64_t> number(std::string_view name) const;
};

/// Takes an answer as it arrives. What it throws comes out of HttpClient::get.
class HttpSink {
 public:
  virtual ~HttpSink() = default;
  /// @returns false when the body is of no interest
  virtual bool head(const HttpHead& head) = 0;
  /// @returns false to end the transfer
  virtual bool body(std::span<const std::byte> bytes) = 0;
};

enum class Ending {
  complete,
  stopped,  ///< the sink, or who may stop us, said so
  broken,   ///< the connection was not made or was lost: worth another try
  failed,   ///< another try would end the same way
};

struct HttpOutcome {
  Ending ending = Ending::failed;
  HttpHead head;
  std::string reason;  ///< of broken and failed; names no URL
};

/// One connection, kept between requests. For one thread.
class HttpClient {
 public:
  virtual ~HttpClient() = default;
  /// Never follows a redirection.
  virtual HttpOutcome get(const HttpRequest& request, HttpSink& sink) = 0;
};

/// A client a thread. `stop` is asked now and then while a transfer runs.
using StopAsked = std::function<bool()>;
using MakeClient = std::function<std::unique_ptr<HttpClient>(const StopAsked& stop)>;

}  // namespace llmq::hub
