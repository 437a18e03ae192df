// Files that stand beside configuration and weights of a model: what readers look for, what is taken along
// when a model is written anew, and the terms it comes under. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace llmq {

inline constexpr std::string_view kModelCompanions[] = {"generation_config.json",
                                                        "tokenizer.json",
                                                        "tokenizer.model",
                                                        "tokenizer_config.json",
                                                        "special_tokens_map.json",
                                                        "added_tokens.json",
                                                        "vocab.json",
                                                        "merges.txt",
                                                        "chat_template.jinja",
                                                        "chat_template.json",
                                                        "LICENSE",
                                                        "LICENSE.txt",
                                                        "LICENSE.md",
                                                        "NOTICE",
                                                        "NOTICE.txt",
                                                        "USE_POLICY.md"};

}  // namespace llmq
