// Cells as tables or JSON, and what they come to. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>

#include "codecs/measure.hpp"

namespace llmq::bench {

std::string to_tables(std::span<const Cell> cells);
std::string to_json(std::span<const Cell> cells);

}  // namespace llmq::bench
