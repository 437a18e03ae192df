// JSON results as text: keys in the order they were added, two spaces of indentation.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <nlohmann/json.hpp>

namespace llmq::cli {

using Json = nlohmann::ordered_json;

/// The document and a line end; bytes that are no UTF-8 are replaced.
std::string text(const Json& document);

}  // namespace llmq::cli
