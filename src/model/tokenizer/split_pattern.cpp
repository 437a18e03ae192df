#define PCRE2_CODE_UNIT_WIDTH 8
#include "model/tokenizer/split_pattern.hpp"

#include <array>

#include <fmt/format.h>
#include <pcre2.h>

#include "llmq/core/error.hpp"

namespace llmq {
namespace {

/// A class of the expressions and its members inside of brackets.
struct CharacterClass {
  std::string_view name, members;
  bool negated = false;
};
// Letters and numbers since Unicode 15: the library of Debian 12 has 14. Spaces have not changed since 6.3,
// but the library counts U+180E among them.
#define LLMQ_SPACES \
  R"(\x{9}-\x{D}\x{20}\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})"
constexpr std::array<CharacterClass, 4> kClasses = {
    {{R"(\p{L})",
      R"(\p{L}\x{1123F}\x{11240}\x{11F02}\x{11F04}-\x{11F10}\x{11F12}-\x{11F33}\x{1342F}\x{13441}-\x{13446}\x{1B132})"
      R"(\x{1B155}\x{1DF25}-\x{1DF2A}\x{1E030}-\x{1E06D}\x{1E4D0}-\x{1E4EB}\x{2B739}\x{2EBF0}-\x{2EE5D}\x{31350}-\x{323AF})",
      false},
     {R"(\p{N})", R"(\p{N}\x{11F50}-\x{11F59}\x{1D2C0}-\x{1D2D3}\x{1E4F0}-\x{1E4F9})", false},
     {R"(\s)", LLMQ_SPACES, false},
     {R"(\S)", LLMQ_SPACES, true}}};
#undef LLMQ_SPACES

const CharacterClass* class_at(std::string_view pattern) {
  for (const CharacterClass& row : kClasses) {
    if (pattern.starts_with(row.name)) return &row;
  }
  return nullptr;
}

constexpr bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

}  // namespace

std::string runtime_pattern(std::string_view published) {
  constexpr std::string_view kIgnoreCase = "(?i:";
  std::string pattern;
  bool in_brackets = false, ignores_case = false;
  for (std::size_t at = 0; at < published.size(); ++at) {
    const std::string_view rest = published.substr(at);
    if (const CharacterClass* row = class_at(rest)) {
      if (in_brackets && row->negated)
        throw InternalError(fmt::format("pre-tokenizer pattern with \\S in brackets: {}", published));
      pattern += in_brackets ? std::string(row->members)
                             : fmt::format("[{}{}]", row->negated ? "^" : "", row->members);
      at += row->name.size() - 1;
    } else if (rest.starts_with(kIgnoreCase)) {
      ignores_case = true;
      pattern += "(?:";
      at += kIgnoreCase.size() - 1;
    } else if (rest[0] == '\\') {
      pattern += rest.substr(0, 2);
      ++at;
    } else if (ignores_case && is_ascii_letter(rest[0])) {
      const auto lower = static_cast<char>(rest[0] | 0x20);
      pattern += {'[', lower, static_cast<char>(lower & ~0x20), ']'};
    } else {
      if (rest[0] == '[' || rest[0] == ']') in_brackets = rest[0] == '[';
      if (rest[0] == ')') ignores_case = false;
      pattern += rest[0];
    }
  }
  return pattern;
}

void SplitPattern::Free::operator()(pcre2_real_code_8* code) const noexcept { pcre2_code_free(code); }

SplitPattern::SplitPattern(std::string_view published) {
  const std::string pattern = runtime_pattern(published);
  int error = 0;
  PCRE2_SIZE offset = 0;
  code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                            PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr));
  if (!code_)
    throw InternalError(fmt::format("pre-tokenizer pattern does not compile at {}: {}", offset, pattern));
  pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);
}

void SplitPattern::split(std::string_view text, std::vector<std::string_view>& pieces) const {
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> block(
      pcre2_match_data_create_from_pattern(code_.get(), nullptr), &pcre2_match_data_free);
  std::size_t at = 0;
  while (at < text.size()) {
    const int found = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), at,
                                  PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, block.get(), nullptr);
    if (found < 0) break;  // no further match (or a limit of the library): the rest is one piece
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(block.get());
    if (range[0] > at) pieces.push_back(text.substr(at, range[0] - at));
    pieces.push_back(text.substr(range[0], range[1] - range[0]));
    at = range[1];
  }
  if (at < text.size()) pieces.push_back(text.substr(at));
}

}  // namespace llmq
