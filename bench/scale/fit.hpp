// Figures that only a run of the whole program gives, out of its JSON result. SPDX-License-Identifier:
// Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "scale/costs.hpp"
#include "scale/shape.hpp"

namespace llmq::scale {

/// Puts the forward pass's rates into `costs`: CPU seconds of phase_seconds over the known work.
/// @param result  `llm-quantize --format json analyze` of one rank with one thread on this shape
/// @throws Error(invalid_arguments) when it is no such result.
void fit_forward(const nlohmann::json& result, const Shape& shape, Costs& costs);

}  // namespace llmq::scale
