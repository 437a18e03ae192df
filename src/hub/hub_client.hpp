// Requests to the hub: redirections followed, and the token shown to the hub alone.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "hub/http.hpp"

namespace llmq::hub {

struct HubAnswer {
  HttpOutcome outcome;
  bool from_elsewhere = false;  ///< the last answer came from another host than the hub's
};

class HubClient {
 public:
  /// @param endpoint  without a slash at its end
  HubClient(std::unique_ptr<HttpClient> client, std::string endpoint, std::string token);

  /// GET of a path of the hub ("/api/..."). The sink sees the last answer only. Thread: one.
  HubAnswer get(const std::string& path, std::optional<Interval> range, HttpSink& sink);

 private:
  std::unique_ptr<HttpClient> client_;
  std::string endpoint_;
  std::string origin_;
  std::string token_;
};

}  // namespace llmq::hub
