#include "llmq/quant/type_rules.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "llmq/core/error.hpp"
#include "llmq/quant/codec.hpp"

namespace llmq {
namespace {

/// Longest pattern taken: the time a pattern may need grows with it.
constexpr std::size_t kMaxPatternLength = 1024;

std::string encodable_types() {
  std::vector<std::string_view> names;
  for (const BlockType& row : block_types()) {
    if (can_encode(row.type)) names.push_back(row.name);
  }
  return fmt::format("Types: {}", fmt::join(names, " "));
}

}  // namespace

bool TypeRules::empty() const noexcept {
  return by_name.empty() && !pure && !leave_output && !output && !token_embd;
}

std::optional<std::size_t> TypeRules::find(const std::string& name) const {
  for (std::size_t i = 0; i < by_name.size(); ++i) {
    if (std::regex_search(name, by_name[i].expression)) return i;
  }
  return std::nullopt;
}

std::string TypeRules::description() const {
  std::vector<std::string> parts;
  if (pure) parts.emplace_back("pure");
  if (leave_output) parts.emplace_back("leave-output-tensor");
  if (output) parts.push_back(fmt::format("output-tensor-type={}", type_name(*output)));
  if (token_embd) parts.push_back(fmt::format("token-embedding-type={}", type_name(*token_embd)));
  for (const TypeRule& rule : by_name)
    parts.push_back(fmt::format("tensor-type {:?}={}", rule.pattern, type_name(rule.type)));
  return fmt::format("{}", fmt::join(parts, "; "));
}

GgmlType parse_tensor_type(std::string_view name) {
  const std::optional<GgmlType> type = ggml_type_from_name(name);
  const bool in_files = type && block_type(*type).in_files && find_codec(*type) != nullptr;
  if (!in_files)
    throw Error(ExitCode::invalid_arguments, fmt::format("unknown tensor type \"{}\"", name),
                encodable_types());
  if (!can_encode(*type)) {
    throw Error(ExitCode::unsupported_conversion,
                fmt::format("tensor type {} is not supported yet", type_name(*type)), encodable_types());
  }
  return *type;
}

TypeRule make_type_rule(std::string_view pattern, std::string_view type) {
  if (pattern.empty() || pattern.size() > kMaxPatternLength) {
    throw Error(ExitCode::invalid_arguments,
                fmt::format("a pattern has 1 to {} characters, not {}", kMaxPatternLength, pattern.size()),
                "Give a regular expression of tensor names, such as attn_v or blk\\.0\\.");
  }
  TypeRule rule{std::string(pattern), parse_tensor_type(type), {}};
  try {
    rule.expression.assign(rule.pattern, std::regex::ECMAScript | std::regex::icase | std::regex::optimize);
  } catch (const std::regex_error& error) {
    throw Error(ExitCode::invalid_arguments,
                fmt::format("\"{}\" is not a regular expression: {}", pattern, error.what()),
                "Write \\ before a special character that is meant as itself");
  }
  return rule;
}

TypeRule parse_type_rule(std::string_view text) {
  const std::size_t at = text.rfind('=');
  if (at == std::string_view::npos) {
    throw Error(ExitCode::invalid_arguments, fmt::format("\"{}\" is not of the form PATTERN=TYPE", text),
                "Give a pattern of tensor names and a type, such as attn_v=Q6_K");
  }
  return make_type_rule(text.substr(0, at), text.substr(at + 1));
}

}  // namespace llmq
