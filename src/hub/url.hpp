// Addresses: whose they are, where a redirection leads, and how they may be shown.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace llmq::hub {

/// Scheme, host and port in one form ("https://huggingface.co:443"): whom a request goes to. Empty for what
/// is not plainly http or https: users in front of the host, backslashes, blanks and control characters are
/// refused, since two readers might find different hosts in them.
std::string origin_of(std::string_view url);

/// Where `location` leads from `base`. Empty when that cannot be told, or would leave https for http.
std::string redirected_url(std::string_view base, std::string_view location);

/// Without query and fragment, which may hold keys to the file.
std::string shown_url(std::string_view url);

}  // namespace llmq::hub
