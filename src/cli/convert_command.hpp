// `convert` once it is parsed: who can be asked at the quality warning. SPDX-License-Identifier: Apache-2.0
#pragma once

#include "llmq/pipeline/convert.hpp"

namespace llmq::cli {

/// Collective. On a terminal, without a launcher, the quality warning is a question on stderr, answered on
/// stdin. @throws what run_convert throws.
QuantizeResult run_convert_command(const StageContext& context, const ConvertOptions& options);

}  // namespace llmq::cli
