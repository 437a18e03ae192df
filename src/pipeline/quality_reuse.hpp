// A report that stands beside its file, read back instead of computed again. SPDX-License-Identifier:
// Apache-2.0
#pragma once

#include <optional>

#include "llmq/core/log.hpp"
#include "llmq/pipeline/quality.hpp"

namespace llmq {

/// The report beside `options.quantized` when it is of the same contents and holds what is asked for, as if
/// computed now; none otherwise. A file that cannot be read is warned of.
std::optional<QualityResult> find_report(Log& log, const QualityOptions& options,
                                         const QualityIdentity& identity);

}  // namespace llmq
