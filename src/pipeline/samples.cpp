#include "llmq/pipeline/samples.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "llmq/core/hash.hpp"
#include "llmq/core/json.hpp"
#include "llmq/core/text.hpp"

namespace llmq {
namespace {

using nlohmann::json;

constexpr std::uint64_t kMaxTextBytes = std::uint64_t{4} << 30;
constexpr const char* kShapes =
    "an array (one value a line in .jsonl) of strings, or of objects with \"text\" or \"messages\"";

[[noreturn]] void malformed(const std::string& path, const std::string& reason) {
  throw FormatError(ExitCode::calibration_data, path, FormatError::kNoOffset, reason,
                    fmt::format("Give plain text (.txt), or JSON holding {}", kShapes));
}

std::string document_text(const json& value, const std::string& path, std::size_t index) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object() && value.contains("text") && value["text"].is_string())
    return value["text"].get<std::string>();
  if (!value.is_object() || !value.contains("messages") || !value["messages"].is_array()) {
    malformed(path, fmt::format("document {} is neither a string nor an object with \"text\" or \"messages\"",
                                index));
  }
  std::string text;
  for (const json& message : value["messages"]) {
    if (!message.is_object() || !message.contains("content") || !message["content"].is_string()) {
      malformed(path, fmt::format("document {}: a message has no \"content\" string", index));
    }
    text += (text.empty() ? "" : "\n\n") + message["content"].get<std::string>();
  }
  return text;
}

std::vector<std::string> json_documents(std::string_view bytes, const std::string& path) {
  const json document = parse_json_strict(bytes, path, ExitCode::calibration_data);
  if (!document.is_array()) malformed(path, "must be a JSON array");
  std::vector<std::string> texts;
  for (const json& value : document) texts.push_back(document_text(value, path, texts.size()));
  return texts;
}

std::vector<std::string> jsonl_documents(std::string_view bytes, const std::string& path) {
  std::vector<std::string> texts;
  for (std::size_t line = 1; !bytes.empty(); ++line) {
    const std::size_t end = bytes.find('\n');
    const std::string_view text = bytes.substr(0, end);
    bytes = end == std::string_view::npos ? std::string_view() : bytes.substr(end + 1);
    if (text.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string where = fmt::format("{} line {}", path, line);
    texts.push_back(
        document_text(parse_json_strict(text, where, ExitCode::calibration_data), where, texts.size()));
  }
  return texts;
}

}  // namespace

std::string join_documents(std::string_view bytes, std::string_view extension, const std::string& path) {
  std::vector<std::string> texts;
  if (equals_ignore_case(extension, ".json")) {
    texts = json_documents(bytes, path);
  } else if (equals_ignore_case(extension, ".jsonl")) {
    texts = jsonl_documents(bytes, path);
  } else {
    if (!is_valid_utf8(bytes) || bytes.find('\0') != std::string_view::npos)
      malformed(path, "is not UTF-8 text");
    texts.emplace_back(bytes);
  }
  std::string joined;
  for (const std::string& text : texts) joined += (joined.empty() ? "" : "\n\n") + text;
  if (joined.empty()) malformed(path, "holds no text");
  return joined;
}

SampleSet make_samples(const SampleRequest& request, const Tokenizer& tokenizer, Log& log) {
  SampleSet set;
  std::string text;
  if (request.data) {
    const std::string bytes =
        read_file(*request.data, kMaxTextBytes, static_cast<int>(ExitCode::calibration_data));
    set.dataset_name = request.data->filename().string();
    set.dataset_hash = sha256_hex(bytes);
    text = join_documents(bytes, request.data->extension().string(), request.data->string());
  } else {
    set.dataset_name = request.builtin_name;
    set.dataset_hash = sha256_hex(request.builtin_text);
    text = request.builtin_text;
  }
  set.ctx = request.ctx;
  if (request.model_context > 0 && set.ctx > request.model_context) {
    set.ctx = request.model_context;
    log.status(fmt::format("Note: samples have {} tokens, the context of the model", set.ctx));
  }
  std::vector<TokenId> ids;
  const bool add_bos = tokenizer.adds_bos();
  const TokenId bos = tokenizer.vocabulary().bos.value_or(-1);
  if (add_bos) ids.push_back(bos);
  const std::vector<TokenId> body = tokenizer.encode(text);
  ids.insert(ids.end(), body.begin(), body.end());
  for (std::size_t begin = 0; begin + set.ctx <= ids.size() && set.samples.size() < request.max_samples;
       begin += set.ctx) {
    set.samples.emplace_back(ids.begin() + static_cast<std::ptrdiff_t>(begin),
                             ids.begin() + static_cast<std::ptrdiff_t>(begin + set.ctx));
    if (add_bos) set.samples.back()[0] = bos;
  }
  if (set.samples.empty()) {
    throw Error(
        ExitCode::calibration_data,
        fmt::format("{}: {} tokens are less than one sample of {}", set.dataset_name, ids.size(), set.ctx),
        "Give a longer text or a smaller --ctx");
  }
  return set;
}

}  // namespace llmq
