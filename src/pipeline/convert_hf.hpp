// From a GGUF file to a Hugging Face directory. SPDX-License-Identifier: Apache-2.0
#pragma once

#include "llmq/pipeline/convert.hpp"

namespace llmq {

/// Collective. `options.level` is empty or F32, F16 or BF16. @throws as run_convert.
QuantizeResult convert_to_hf(const StageContext& context, const ConvertOptions& options);

}  // namespace llmq
