// JSON schemas the binary carries; the files are in configs/schemas. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace llmq {

/// Draft 7, of the files `llm-quantize run` executes (docs/formats/job.md).
std::string_view embedded_job_schema() noexcept;

}  // namespace llmq
