// tokenizer.json with a BPE model: byte-level (GPT-2, Llama 3, Qwen) or with byte fallback (Llama 2 style).
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <unordered_map>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/json.hpp"

#include "model/tokenizer/algorithms.hpp"
#include "model/tokenizer/companion_files.hpp"
#include "model/tokenizer/tokenizer_json.hpp"

namespace llmq {
namespace {

using nlohmann::json;

constexpr std::uint64_t kMaxTokens = 1 << 24;

class JsonVocabularyReader {
 public:
  /// @param exact_types  a token is special only where it says so, whatever it looks like
  JsonVocabularyReader(json document, std::string path, bool exact_types)
      : document_(std::move(document)), path_(std::move(path)), exact_types_(exact_types) {}

  Vocabulary read(std::uint32_t vocab_size) {
    const json& model = member(document_, "model");
    if (!model.is_object()) fail("\"model\" must be an object");
    if (const std::string type = string_member(model, "type", "BPE"); type != "BPE") {
      throw Error(ExitCode::unsupported_conversion,
                  fmt::format("{}: tokenizer model \"{}\" is not supported", path_, type), "Supported: BPE");
    }
    read_tokens(model, vocab_size);
    read_merges(model);
    const bool byte_fallback = model.contains("byte_fallback") && model["byte_fallback"] == true;
    if (byte_fallback) {
      become_spm();
    } else {
      vocabulary_.model = "gpt2";
      vocabulary_.pre = choose_pre(model);
    }
    read_added_tokens();
    return std::move(vocabulary_);
  }

  /// Flags that the file's own frame of special tokens sets where no other file does. A flag that says what
  /// holds without it is left out.
  void apply_frame(Vocabulary& vocabulary) const {
    const json* single = frame();
    if (single == nullptr) return;
    const auto is = [&](const json& part, const std::optional<TokenId>& id) {
      if (!id || !part.is_object() || !part.contains("SpecialToken")) return false;
      return string_member(part["SpecialToken"], "id", "") ==
             vocabulary.tokens[static_cast<std::size_t>(*id)];
    };
    if (!vocabulary.add_bos && !adds_bos(vocabulary) && is(single->front(), vocabulary.bos))
      vocabulary.add_bos = true;
    if (!vocabulary.add_eos && single->size() > 1 && is(single->back(), vocabulary.eos))
      vocabulary.add_eos = true;
  }

 private:
  /// What stands around one text, in order; null when the file has no such frame.
  const json* frame() const {
    if (!document_.contains("post_processor") || !document_["post_processor"].is_object()) return nullptr;
    const json& post = document_["post_processor"];
    const auto single = [](const json& part) -> const json* {
      const bool fits = part.is_object() && string_member(part, "type", "") == "TemplateProcessing" &&
                        part.contains("single") && part["single"].is_array() && !part["single"].empty();
      return fits ? &part["single"] : nullptr;
    };
    if (const json* found = single(post)) return found;
    if (!post.contains("processors") || !post["processors"].is_array()) return nullptr;
    for (const json& part : post["processors"]) {
      if (const json* found = single(part)) return found;
    }
    return nullptr;
  }

  [[noreturn]] void fail(std::string reason) const {
    throw FormatError(ExitCode::validation, path_, FormatError::kNoOffset, std::move(reason),
                      "The tokenizer file is damaged; fetch it again");
  }
  const json& member(const json& object, const char* key) const {
    if (!object.is_object() || !object.contains(key)) fail(fmt::format("\"{}\" is missing", key));
    return object[key];
  }

  void read_tokens(const json& model, std::uint32_t vocab_size) {
    const json& vocab = member(model, "vocab");
    if (!vocab.is_object() || vocab.size() > kMaxTokens) fail("\"vocab\" must be an object of token ids");
    std::uint64_t size = vocab_size;
    if (size == 0) {
      for (const auto& [text, id] : vocab.items()) size = std::max<std::uint64_t>(size, token_id(id) + 1);
      for (const json& token : added_tokens())
        size = std::max<std::uint64_t>(size, token_id(member(token, "id")) + 1);
    }
    pad_vocabulary(vocabulary_, static_cast<std::uint32_t>(size), false);
    std::vector<bool> seen(size, false);
    for (const auto& [text, id] : vocab.items()) {
      const std::uint64_t index = token_id(id);
      if (index >= size) continue;  // the model has no row for it
      if (seen[index]) fail(fmt::format("two tokens have id {}", index));
      seen[index] = true;
      vocabulary_.tokens[index] = text;
      vocabulary_.types[index] = TokenType::normal;
    }
  }

  std::uint64_t token_id(const json& id) const {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= kMaxTokens)
      fail(fmt::format("token id {} is out of range", id.dump()));
    return id.get<std::uint64_t>();
  }

  void read_merges(const json& model) {
    if (!model.contains("merges")) return;
    if (!model["merges"].is_array()) fail("\"merges\" must be an array");
    for (const json& merge : model["merges"]) {
      if (merge.is_string()) {
        vocabulary_.merges.push_back(merge.get<std::string>());
        if (vocabulary_.merges.back().find(' ') == std::string::npos) fail("a merge is not a pair");
      } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
        vocabulary_.merges.push_back(spaceless(merge[0].get<std::string>()) + " " +
                                     spaceless(merge[1].get<std::string>()));
      } else {
        fail("a merge is not a pair");
      }
    }
  }

  /// A space inside one half of a pair would be taken for the separator: it becomes the alphabet's letter for
  /// it.
  static std::string spaceless(const std::string& part) {
    std::string text;
    for (const char c : part) {
      if (c == ' ')
        text += "\xC4\xA0";
      else
        text += c;
    }
    return text;
  }

  /// Merging by rank and merging by score agree when a token's score is minus the rank of the merge that
  /// makes it.
  void become_spm() {
    vocabulary_.model = "llama";
    vocabulary_.scores.assign(vocabulary_.tokens.size(), -static_cast<float>(vocabulary_.merges.size()) - 1);
    std::unordered_map<std::string_view, std::size_t> ids;
    for (std::size_t id = 0; id < vocabulary_.tokens.size(); ++id) ids.emplace(vocabulary_.tokens[id], id);
    for (std::size_t rank = vocabulary_.merges.size();
         rank-- > 0;) {  // backwards: the first merge of a token wins
      std::string joined = vocabulary_.merges[rank];
      joined.erase(joined.find(' '), 1);
      if (const auto found = ids.find(joined); found != ids.end())
        vocabulary_.scores[found->second] = -static_cast<float>(rank);
    }
    vocabulary_.merges.clear();
    for (std::size_t id = 0; id < vocabulary_.tokens.size(); ++id) {
      const std::string& text = vocabulary_.tokens[id];
      if (text.size() == 6 && text.starts_with("<0x") && text.back() == '>')
        vocabulary_.types[id] = TokenType::byte;
    }
  }

  std::vector<json> added_tokens() const {
    if (!document_.contains("added_tokens")) return {};
    if (!document_["added_tokens"].is_array()) fail("\"added_tokens\" must be an array");
    return document_["added_tokens"].get<std::vector<json>>();
  }

  void read_added_tokens() {
    const json& model = document_["model"];
    for (const json& token : added_tokens()) {
      const std::uint64_t id = token_id(member(token, "id"));
      const json& content = member(token, "content");
      if (!content.is_string()) fail("an added token has no text");
      if (id >= vocabulary_.tokens.size()) continue;
      const auto text = content.get<std::string>();
      const bool special =
          (token.contains("special") && token["special"] == true) || (!exact_types_ && looks_special(text));
      const bool unknown =
          model.contains("unk_token") && model["unk_token"] == text && vocabulary_.model == "llama";
      vocabulary_.tokens[id] = text;
      vocabulary_.types[id] = unknown   ? TokenType::unknown
                              : special ? TokenType::control
                                        : TokenType::user_defined;
      if (unknown) vocabulary_.unk = static_cast<TokenId>(id);
    }
  }

  /// Regular expressions of the file's pre-tokenizer in order; ByteLevel with its own pattern counts as
  /// GPT-2's.
  void collect_patterns(const json& pre, std::vector<std::string>& patterns) const {
    if (!pre.is_object()) return;
    const std::string type = string_member(pre, "type", "");
    if (type == "Sequence" && pre.contains("pretokenizers") && pre["pretokenizers"].is_array()) {
      for (const json& part : pre["pretokenizers"]) collect_patterns(part, patterns);
    } else if (type == "Split" && pre.contains("pattern") && pre["pattern"].is_object() &&
               pre["pattern"].contains("Regex") && pre["pattern"]["Regex"].is_string()) {
      patterns.push_back(pre["pattern"]["Regex"].get<std::string>());
    } else if (type == "Digits") {
      patterns.push_back(pre.value("individual_digits", json(false)) == true ? R"(\p{N})" : R"(\p{N}+)");
    } else if (type == "ByteLevel") {
      if (!pre.contains("use_regex") || pre["use_regex"] == true)
        patterns.push_back(find_pre_tokenizer("gpt-2")->patterns[0]);
    } else {
      patterns.push_back("pre-tokenizer " + type);
    }
  }

  std::string choose_pre(const json& model) const {
    std::vector<std::string> patterns;
    if (document_.contains("pre_tokenizer")) collect_patterns(document_["pre_tokenizer"], patterns);
    const bool ignore_merges = model.contains("ignore_merges") && model["ignore_merges"] == true;
    // Where only whole words are treated otherwise: that differs for vocabularies with words that merges
    // cannot make.
    if (const PreTokenizer* row = find_pre_tokenizer(patterns, ignore_merges)) return std::string(row->id);
    throw Error(ExitCode::unsupported_conversion,
                fmt::format("{}: its pre-tokenizer is not supported: {}", path_, fmt::join(patterns, " ; ")),
                "Please report the model, so that its pattern can be added");
  }

  json document_;
  std::string path_;
  bool exact_types_;
  Vocabulary vocabulary_;
};

/// The pre-tokenizer of the GGUF file that the directory was made from, where it cuts words as the one found.
void prefer_named_pre_tokenizer(const json& settings, Vocabulary& vocabulary) {
  const PreTokenizer* named = find_pre_tokenizer(string_member(settings, kPreTokenizerMember, ""));
  const PreTokenizer* found = find_pre_tokenizer(vocabulary.pre);
  if (named != nullptr && found != nullptr && named->patterns == found->patterns &&
      named->ignore_merges == found->ignore_merges)
    vocabulary.pre = named->id;
}

}  // namespace

Vocabulary read_json_vocabulary(const std::filesystem::path& directory, std::uint32_t vocab_size) {
  const std::filesystem::path path = directory / "tokenizer.json";
  const json settings = read_json_object(directory / "tokenizer_config.json");
  JsonVocabularyReader reader(read_json_object(path), path.string(), settings.contains(kPreTokenizerMember));
  Vocabulary vocabulary = reader.read(vocab_size);
  prefer_named_pre_tokenizer(settings, vocabulary);
  apply_special_settings(directory, vocabulary);
  reader.apply_frame(vocabulary);
  return vocabulary;
}

Vocabulary read_vocabulary(const std::filesystem::path& model_directory, std::uint32_t vocab_size) {
  if (std::filesystem::exists(model_directory / "tokenizer.model"))
    return read_spm_vocabulary(model_directory, vocab_size);
  if (std::filesystem::exists(model_directory / "tokenizer.json"))
    return read_json_vocabulary(model_directory, vocab_size);
  throw Error(ExitCode::model_not_found,
              fmt::format("{}: neither tokenizer.model nor tokenizer.json", model_directory.string()),
              "Fetch the tokenizer files of the model");
}

}  // namespace llmq
