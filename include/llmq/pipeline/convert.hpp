// The convert stage: a model from one form to another, on any number of ranks. To GGUF it is a quantize run;
// to a Hugging Face directory weights go back to their names, order and number formats (docs/convert.md).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "llmq/pipeline/quantize.hpp"
#include "llmq/pipeline/stage_context.hpp"

namespace llmq {

enum class ConvertFormat { gguf, hf };

struct ConvertOptions {
  std::filesystem::path input;
  ConvertFormat format = ConvertFormat::gguf;
  std::string level;  ///< as typed; empty: each weight keeps its number format, quantized ones become F16
  std::filesystem::path output_dir = ".";
  std::string output_name;  ///< empty: MODEL-LEVEL.gguf, or MODEL-hf (a directory)
  bool force = false;       ///< overwrite, and go on at the quality warning
  CheckpointOptions checkpoints;
  std::uint64_t shard_bytes = std::uint64_t{5'000'000'000};  ///< of tensors in a file of a directory
  /// Asked on rank 0 at the quality warning, which it is given; false: stop. Empty: nobody can be asked.
  std::function<bool(const std::string& warning)> confirm;
};

/// Collective. @throws Error with the contract's codes, (unsupported_conversion) for a pair of forms that is
/// not supported, (cancelled) when the quality warning was declined; nothing stands under the final name
/// unless it is complete.
QuantizeResult run_convert(const StageContext& context, const ConvertOptions& options);

}  // namespace llmq
