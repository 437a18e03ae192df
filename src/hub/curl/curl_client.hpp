// HTTP through libcurl. SPDX-License-Identifier: Apache-2.0
#pragma once

#include "hub/http.hpp"

namespace llmq::hub {

/// @param silence_seconds  a connection that brings nothing for so long is given up
/// @throws Error(general) when libcurl cannot be set up.
MakeClient curl_clients(double silence_seconds);

}  // namespace llmq::hub
