// The coherence check: original and quantized model continue the same prompts, and the original judges what
// the quantized one wrote. Definition: docs/coherence.md. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "llmq/model/source.hpp"
#include "llmq/pipeline/stage_context.hpp"
#include "llmq/quality/coherence.hpp"

namespace llmq {

/// A model and what messages call it.
struct NamedModel {
  const ModelSource& source;
  std::string name;
};

/// One prompt as both models continued it, for people to read.
struct Continuation {
  std::string prompt;
  WritingMode mode = WritingMode::greedy;
  std::string original;
  std::string quantized;
};

struct CoherenceResult {
  CoherenceFigures figures;
  std::uint64_t prompts = 0;  ///< each continued in every mode
  std::uint64_t length = 0;   ///< tokens of a continuation
  std::vector<Continuation> examples;
  double seconds = 0;
};

/// Collective. The result is complete on rank 0; ranks, threads and memory change no bit of it. @throws
/// Error(validation) when the models have different vocabularies, Error(out_of_memory), Error(importance)
/// when one gives NaN or infinite logits, Error(interrupted).
CoherenceResult measure_coherence(const StageContext& context, const NamedModel& original,
                                  const NamedModel& quantized, const Tokenizer& tokenizer);

/// Collective: measure_coherence of two models by their paths.
CoherenceResult run_coherence(const StageContext& context, const std::filesystem::path& original,
                              const std::filesystem::path& quantized);

/// Local: can a file made of this model be checked here? For before hours of work. @throws what run_coherence
/// would.
void check_coherence_plan(const StageContext& context, const std::filesystem::path& original);

}  // namespace llmq
