// Texts the binary carries: the calibration corpus, the evaluation text, which share nothing, and prompts.
// configs/text/README.md. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace llmq {

std::string_view embedded_calibration_text() noexcept;
std::string_view embedded_evaluation_text() noexcept;
/// Beginnings for models to continue, one a line.
std::string_view embedded_prompts() noexcept;

}  // namespace llmq
