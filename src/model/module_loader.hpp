// Shared modules of the program: heavy libraries that only some commands need, each in a scope of its own.
// (libtorch and libsentencepiece bring different flavours of protobuf, which must not see each other.)
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace llmq {

/// Address of `entry` in module `file`, looked for in LLM_QUANTIZE_MODULE_DIR, the build tree and the
/// installation.
/// @throws Error(general) that says what was tried.
void* load_module_entry(const std::string& file, const char* entry);

}  // namespace llmq
