// The table of pre-tokenizers: a new one is a new row. Patterns are those published with the models; ids are
// the names GGUF uses (docs/formats/tokenizers.md). SPDX-License-Identifier: Apache-2.0
#include "model/tokenizer/algorithms.hpp"

namespace llmq {
namespace {

const std::string kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S))";

std::string utf8(std::uint32_t code) {
  std::string text;
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else {
    text += static_cast<char>(0xC0 | (code >> 6));
    text += static_cast<char>(0x80 | (code & 0x3F));
  }
  return text;
}

bool is_printable_byte(unsigned byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

}  // namespace

const std::vector<PreTokenizer>& pre_tokenizers() {
  static const std::vector<PreTokenizer> table = {
      {"gpt-2", {kGpt2}},
      {"llama-bpe", {kLlama3}, true, true},
      {"qwen2", {kQwen2}, false, false, true},
      {"smollm", {R"(\p{N})", kGpt2}},
      {"phi-2", {kGpt2}},
      {"olmo", {kGpt2}, false, false, true},
      {"mpt", {kGpt2}, false, false, true},
      {"smaug-bpe", {kLlama3}},
      {"dbrx", {kLlama3}},
      {"falcon3", {kLlama3}, true, true},
      {"stablelm2", {kQwen2}},
      {"deepseek-r1-qwen", {kQwen2}, false, false, true},
      {"starcoder", {R"(\p{N})", kGpt2}},
      {"refact", {R"(\p{N})", kGpt2}},
      {"command-r", {R"(\p{N})", kGpt2}, false, false, true},
  };
  return table;
}

const PreTokenizer* find_pre_tokenizer(std::string_view id) {
  for (const PreTokenizer& row : pre_tokenizers()) {
    if (row.id == id) return &row;
  }
  return nullptr;
}

const PreTokenizer* find_pre_tokenizer(const std::vector<std::string>& patterns, bool ignore_merges) {
  const PreTokenizer* by_pattern = nullptr;
  for (const PreTokenizer& row : pre_tokenizers()) {
    if (row.patterns != patterns) continue;
    if (row.ignore_merges == ignore_merges) return &row;
    if (by_pattern == nullptr) by_pattern = &row;
  }
  return by_pattern;
}

const std::vector<std::string>& byte_alphabet() {
  static const std::vector<std::string> alphabet = [] {
    std::vector<std::string> table;
    std::uint32_t spare = 256;  // the 68 other bytes take U+0100, U+0101, ... in order
    for (unsigned byte = 0; byte < 256; ++byte)
      table.push_back(utf8(is_printable_byte(byte) ? byte : spare++));
    return table;
  }();
  return alphabet;
}

std::string from_byte_alphabet(std::string_view text) {
  std::string bytes;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = std::min(utf8_length(text[at]), text.size() - at);
    const std::string_view character = text.substr(at, length);
    bool known = false;
    for (unsigned byte = 0; byte < 256 && !known; ++byte) {
      if (byte_alphabet()[byte] != character) continue;
      bytes += static_cast<char>(byte);
      known = true;
    }
    if (!known) bytes += character;
    at += length;
  }
  return bytes;
}

}  // namespace llmq
