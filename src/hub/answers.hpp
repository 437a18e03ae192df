// What an answer of the hub means: go on, try again, or give up with the contract's code and words.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "llmq/hub/fetch.hpp"
#include "llmq/hub/id.hpp"

#include "hub/hub_client.hpp"

namespace llmq::hub {

enum class Verdict { good, try_again, give_up };

Verdict judge(const HubAnswer& answer) noexcept;

/// For give_up. @param what  "the list of files" or a file's name
/// @throws Error(model_not_found | authentication_required | general).
[[noreturn]] void refuse(const HubAnswer& answer, const ModelId& id, const Settings& settings,
                         const std::string& what);

/// After the last try. @throws Error(general).
[[noreturn]] void lose_patience(const HubAnswer& answer, const ModelId& id, const Settings& settings,
                                const std::string& what);

/// The same for the list of files, the first thing that is asked for: the name may have been meant as a path.
[[noreturn]] void cannot_ask(const HubAnswer& answer, const ModelId& id, const Settings& settings);

/// What kept an answer from being good, in a few words.
std::string reason_of(const HubAnswer& answer);

/// "; did you mean a/b or c/d?", or nothing.
std::string near_matches(const ModelId& id, const Settings& settings);

}  // namespace llmq::hub
