// Members by the names of the reference implementation of tokenizer.json. Vocabulary and merges are written
// line by line: they are long, and their order is theirs.
#include "model/tokenizer/tokenizer_json.hpp"

#include <unordered_set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "llmq/core/error.hpp"

#include "model/tokenizer/algorithms.hpp"

namespace llmq {
namespace {

using Json = nlohmann::ordered_json;

std::string text_of(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json byte_level(bool add_prefix_space, bool trim_offsets, bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", add_prefix_space},
          {"trim_offsets", trim_offsets},
          {"use_regex", use_regex}};
}

/// The expression of GPT-2 is ByteLevel's own, single digits have a type: this is how models are published.
Json pre_tokenizer(const PreTokenizer& pre) {
  const std::string& gpt2 = find_pre_tokenizer("gpt-2")->patterns[0];
  Json steps = Json::array();
  bool splits_itself = false;
  for (const std::string& pattern : pre.patterns) {
    if (pattern == gpt2 && &pattern == &pre.patterns.back()) {
      splits_itself = true;
    } else if (pattern == R"(\p{N})") {
      steps.push_back({{"type", "Digits"}, {"individual_digits", true}});
    } else {
      steps.push_back({{"type", "Split"},
                       {"pattern", {{"Regex", pattern}}},
                       {"behavior", "Isolated"},
                       {"invert", false}});
    }
  }
  steps.push_back(byte_level(false, true, splits_itself));
  if (steps.size() == 1) return steps[0];
  return {{"type", "Sequence"}, {"pretokenizers", steps}};
}

/// Adds BOS and EOS where the vocabulary wants them.
Json post_processor(const Vocabulary& vocabulary) {
  const Json bytes = byte_level(true, false, true);
  const bool bos = adds_bos(vocabulary), eos = vocabulary.add_eos.value_or(false) && vocabulary.eos;
  if (!bos && !eos) return bytes;
  Json known = Json::object();
  const auto special = [&](TokenId id, int part) {
    const std::string& text = vocabulary.tokens[static_cast<std::size_t>(id)];
    known[text] = {{"id", text}, {"ids", {id}}, {"tokens", {text}}};
    return Json{{"SpecialToken", {{"id", text}, {"type_id", part}}}};
  };
  const auto append = [&](Json& list, const char* name, int part) {
    if (bos) list.push_back(special(*vocabulary.bos, part));
    list.push_back({{"Sequence", {{"id", name}, {"type_id", part}}}});
    if (eos) list.push_back(special(*vocabulary.eos, part));
  };
  Json single = Json::array(), pair = Json::array();
  append(single, "A", 0);
  append(pair, "A", 0);
  append(pair, "B", 1);
  const Json frame = {
      {"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", known}};
  return {{"type", "Sequence"}, {"processors", Json::array({bytes, frame})}};
}

bool is_added(TokenType type) { return type == TokenType::control || type == TokenType::user_defined; }

Json added_token(const Vocabulary& vocabulary, std::size_t id) {
  return {{"id", id},
          {"content", vocabulary.tokens[id]},
          {"single_word", false},
          {"lstrip", false},
          {"rstrip", false},
          {"normalized", false},
          {"special", vocabulary.types[id] == TokenType::control}};
}

std::string lines(const std::vector<std::string>& items) {
  return fmt::format("{}", fmt::join(items, ",\n"));
}

/// Added tokens stand in it too, so that no reader can give them other ids; ids without a token do not.
std::string model_text(const Vocabulary& vocabulary, const PreTokenizer& pre) {
  std::vector<std::string> vocab, merges;
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    if (vocabulary.types[id] != TokenType::unused)
      vocab.push_back(fmt::format("      {}: {}", text_of(vocabulary.tokens[id]), id));
  }
  for (const std::string& merge : vocabulary.merges) merges.push_back("      " + text_of(merge));
  return fmt::format(
      "{{\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": null,\n"
      "    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n    \"fuse_unk\": "
      "false,\n"
      "    \"byte_fallback\": false,\n    \"ignore_merges\": {},\n"
      "    \"vocab\": {{\n{}\n    }},\n    \"merges\": [\n{}\n    ]\n  }}",
      pre.ignore_merges, lines(vocab), lines(merges));
}

}  // namespace

std::string tokenizer_json_text(const Vocabulary& vocabulary) {
  const PreTokenizer* pre = find_pre_tokenizer(vocabulary.pre);
  if (pre == nullptr) throw InternalError("tokenizer.json for a pre-tokenizer that is not in the table");
  std::vector<std::string> added;
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    if (is_added(vocabulary.types[id])) added.push_back("    " + text_of(added_token(vocabulary, id)));
  }
  return fmt::format(
      "{{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n"
      "  \"added_tokens\": [\n{}\n  ],\n  \"normalizer\": {},\n  \"pre_tokenizer\": {},\n"
      "  \"post_processor\": {},\n  \"decoder\": {},\n  \"model\": {}\n}}\n",
      lines(added), pre->composes ? R"({"type":"NFC"})" : "null", text_of(pre_tokenizer(*pre)),
      text_of(post_processor(vocabulary)), text_of(byte_level(true, true, true)),
      model_text(vocabulary, *pre));
}

std::string unusable_merge(const Vocabulary& vocabulary) {
  std::unordered_set<std::string_view> tokens;
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    if (vocabulary.types[id] != TokenType::unused) tokens.insert(vocabulary.tokens[id]);
  }
  for (const std::string& merge : vocabulary.merges) {
    const std::size_t space = merge.find(' ', 1);
    if (space == std::string::npos) return merge;
    const std::string left = merge.substr(0, space), right = merge.substr(space + 1);
    if (right.find(' ') != std::string::npos || !tokens.contains(left) || !tokens.contains(right) ||
        !tokens.contains(left + right))
      return merge;
  }
  return {};
}

}  // namespace llmq
