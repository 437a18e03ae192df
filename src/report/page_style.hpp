// How pages look: CSS that stands inside of them. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace llmq {

extern const std::string_view kPageStyle;

}  // namespace llmq
