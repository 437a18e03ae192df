// JSON schemas the binary carries; the files are in configs/schemas. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace llmq {

/// Draft 7, of the files `llm-quantize run` executes (docs/formats/job.md).
std::string_view embedded_job_schema() noexcept;
/// Draft 7, of the files that --layer-bits names (docs/formats/layer-bits.md).
std::string_view embedded_layer_bits_schema() noexcept;
/// Draft 7, of .dqprofile files (docs/profiles.md).
std::string_view embedded_dqprofile_schema() noexcept;

/// Draft 7, of .qreport files (docs/formats/qreport.md).
std::string_view embedded_qreport_schema() noexcept;

/// Draft 7, of "quantization_config" in a W8A8 directory (docs/formats/w8a8.md).
std::string_view embedded_w8a8_schema() noexcept;

}  // namespace llmq
