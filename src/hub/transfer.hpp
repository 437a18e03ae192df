// One file over several connections: ranges, new tries, and servers that know no ranges.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "llmq/core/error.hpp"
#include "llmq/hub/fetch.hpp"

#include "hub/http.hpp"
#include "hub/listing.hpp"
#include "hub/partial_file.hpp"

namespace llmq::hub {

/// What the server sends is not the file it has listed; another try from the start may help.
class WrongContent : public Error {
 public:
  explicit WrongContent(const std::string& message) : Error(ExitCode::validation, message) {}
};

/// What all transfers of a model share.
struct TransferContext {
  const ModelId& id;
  const Settings& settings;
  const MakeClient& make_client;
  const std::function<bool()>& stop;                      ///< asked by the calling thread only
  const std::function<void(std::uint64_t)>& progress;     ///< bytes that came in this run, calling thread
  const std::function<void(const std::string&)>& notice;  ///< what went wrong meanwhile, calling thread
};

/// Fills `partial` with what it lacks of a file that stands at `path` of the hub. @returns false when
/// stopped.
/// @throws WrongContent; Error(general) when the connection or the disk does not hold;
/// Error(model_not_found | authentication_required).
bool transfer(const TransferContext& context, const std::string& path, const RemoteFile& file,
              PartialFile& partial);

}  // namespace llmq::hub
