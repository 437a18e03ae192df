// The JSON header of one safetensors file, parsed and checked. docs/formats/safetensors.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "llmq/core/file.hpp"
#include "llmq/formats/safetensors.hpp"

namespace llmq {

/// Tensors of an open file with absolute offsets. @throws FormatError(validation).
std::vector<SafetensorsTensor> read_safetensors_header(const File& file);

}  // namespace llmq
