// Sentences of scored samples as text. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "llmq/model/tokenizer.hpp"
#include "llmq/pipeline/samples.hpp"
#include "llmq/quality/departures.hpp"
#include "llmq/report/quality_report.hpp"

namespace llmq {

/// By token id: 1 where its text ends a sentence (a full stop, a question or exclamation mark, a line end).
std::vector<std::uint8_t> sentence_ends(const Tokenizer& tokenizer);

/// With the text in front of them.
std::vector<SentenceReport> describe_sentences(const Tokenizer& tokenizer, const SampleSet& samples,
                                               const WorstSentences& worst);

}  // namespace llmq
