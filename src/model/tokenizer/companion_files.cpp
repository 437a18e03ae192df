#include "model/tokenizer/companion_files.hpp"

#include <array>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/core/json.hpp"

namespace llmq {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::uint64_t kMaxJsonBytes = std::uint64_t{256} << 20;
constexpr float kAddedScore = -1000.0F;
constexpr std::string_view kSpace = "\xE2\x96\x81";

std::string spaces_for_markers(std::string text) {
  for (std::size_t at = text.find(kSpace); at != std::string::npos; at = text.find(kSpace, at + 1)) {
    text.replace(at, kSpace.size(), " ");
  }
  return text;
}

void set_token(Vocabulary& vocabulary, std::size_t id, const std::string& text, bool special) {
  if (id >= vocabulary.tokens.size() || text.empty())
    return;  // beyond the embedding: the model has no row for it
  vocabulary.types[id] = special ? TokenType::control : TokenType::user_defined;
  vocabulary.tokens[id] = special ? text : spaces_for_markers(text);
  if (!vocabulary.scores.empty()) vocabulary.scores[id] = kAddedScore;
}

/// "text" or {"content": "text"}; empty otherwise.
std::string token_content(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object() && value.contains("content") && value["content"].is_string())
    return value["content"].get<std::string>();
  return {};
}

std::optional<TokenId> find_token(const Vocabulary& vocabulary, const std::string& text) {
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    if (vocabulary.tokens[id] == text) return static_cast<TokenId>(id);
  }
  return std::nullopt;
}

std::optional<TokenId> config_id(const json& config, const char* key, const Vocabulary& vocabulary) {
  if (!config.contains(key)) return std::nullopt;
  const json* value = &config[key];
  if (value->is_array() && !value->empty()) value = &value->front();
  if (!value->is_number_unsigned() || value->get<std::uint64_t>() >= vocabulary.tokens.size())
    return std::nullopt;
  return value->get<TokenId>();
}

std::optional<bool> flag(const json& settings, const char* key) {
  if (!settings.contains(key) || !settings[key].is_boolean()) return std::nullopt;
  return settings[key].get<bool>();
}

std::string read_chat_template(const fs::path& directory, const json& settings) {
  if (fs::exists(directory / "chat_template.jinja"))
    return read_file(directory / "chat_template.jinja", kMaxJsonBytes);
  if (!settings.contains("chat_template")) return {};
  const json& value = settings["chat_template"];
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return {};
  for (const json& one : value) {  // named alternatives: the one called default
    if (one.is_object() && string_member(one, "name", "") == "default" && one.contains("template") &&
        one["template"].is_string()) {
      return one["template"].get<std::string>();
    }
  }
  return {};
}

}  // namespace

json read_json_object(const fs::path& path) {
  if (!fs::exists(path)) return json::object();
  json document = parse_json_strict(read_file(path, kMaxJsonBytes), path.string(), ExitCode::validation);
  if (!document.is_object()) {
    throw FormatError(ExitCode::validation, path.string(), FormatError::kNoOffset, "must be a JSON object");
  }
  return document;
}

bool looks_special(std::string_view text) {
  for (const std::string_view known : {"<pad>", "<mask>", "<2mass>", "[@BOS@]"}) {
    if (text == known) return true;
  }
  constexpr std::string_view kWideBar = "\xEF\xBD\x9C";
  return (text.starts_with("<|") && text.ends_with("|>")) || text.starts_with("<unused") ||
         (text.starts_with("<" + std::string(kWideBar)) && text.ends_with(std::string(kWideBar) + ">"));
}

void pad_vocabulary(Vocabulary& vocabulary, std::uint32_t vocab_size, bool scored) {
  for (std::size_t id = vocabulary.tokens.size(); id < vocab_size; ++id) {
    vocabulary.tokens.push_back(fmt::format("[PAD{}]", id));
    vocabulary.types.push_back(TokenType::unused);
    if (scored) vocabulary.scores.push_back(-10000.0F);
  }
}

void apply_added_tokens(const fs::path& directory, Vocabulary& vocabulary) {
  const json added = read_json_object(directory / "added_tokens.json");
  for (const auto& [text, id] : added.items()) {
    if (id.is_number_unsigned()) set_token(vocabulary, id.get<std::size_t>(), text, false);
  }
  const json settings = read_json_object(directory / "tokenizer_config.json");
  if (!settings.contains("added_tokens_decoder") || !settings["added_tokens_decoder"].is_object()) return;
  for (const auto& [key, value] : settings["added_tokens_decoder"].items()) {
    if (key.empty() || key.size() > 9 || key.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string text = token_content(value);
    set_token(vocabulary, std::stoul(key), text,
              flag(value, "special").value_or(false) || looks_special(text));
  }
}

void apply_special_settings(const fs::path& directory, Vocabulary& vocabulary) {
  const json settings = read_json_object(directory / "tokenizer_config.json");
  const json config = read_json_object(directory / "config.json");
  struct Special {
    const char* name;
    std::optional<TokenId>* id;
  };
  for (const Special& special : std::array<Special, 7>{{{"bos", &vocabulary.bos},
                                                        {"eos", &vocabulary.eos},
                                                        {"unk", &vocabulary.unk},
                                                        {"sep", &vocabulary.sep},
                                                        {"pad", &vocabulary.pad},
                                                        {"cls", &vocabulary.cls},
                                                        {"mask", &vocabulary.mask}}}) {
    const std::string key = fmt::format("{}_token", special.name);
    if (settings.contains(key)) {
      if (const std::string text = token_content(settings[key]); !text.empty())
        *special.id = find_token(vocabulary, text);
    }
    if (!*special.id)
      *special.id = config_id(config, fmt::format("{}_token_id", special.name).c_str(), vocabulary);
  }
  vocabulary.add_bos = flag(settings, "add_bos_token");
  vocabulary.add_eos = flag(settings, "add_eos_token");
  if (vocabulary.model == "llama") vocabulary.add_space_prefix = flag(settings, "add_prefix_space");
  vocabulary.chat_template = read_chat_template(directory, settings);
}

}  // namespace llmq
