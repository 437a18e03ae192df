// Numbers of config.json that GGUF keeps in single precision. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>

namespace llmq {

/// The shortest decimal that is read as `value`, in double precision: 1e-05 and not 9.999999747378752e-06.
inline double shortest(float value) {
  char text[64];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  double number = 0;
  std::from_chars(text, end, number);
  return number;
}

}  // namespace llmq
