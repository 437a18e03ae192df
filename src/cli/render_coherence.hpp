// The coherence check as people read it, and as JSON.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "llmq/pipeline/coherence.hpp"

#include "cli/json_document.hpp"

namespace llmq::cli {

/// Figures and examples: the `coherence` object of quantize.
Json coherence_json(const CoherenceResult& result);

/// "0.91 (likelihood 0.93, repetition 0.98)"
std::string coherence_text(const CoherenceResult& result);
/// The examples, each continuation on one line.
std::string coherence_examples(const CoherenceResult& result);

}  // namespace llmq::cli
