#include "llmq/core/json.hpp"

#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "llmq/core/text.hpp"

namespace llmq {
namespace {

using nlohmann::json;

/// Builds the document through the library's own builder and watches depth and duplicate keys on the way.
class StrictBuilder : public nlohmann::json_sax<json> {
 public:
  StrictBuilder(json& root, int max_depth) : builder_(root, false), max_depth_(max_depth) {}

  bool null() override { return builder_.null(); }
  bool boolean(bool value) override { return builder_.boolean(value); }
  bool number_integer(number_integer_t value) override { return builder_.number_integer(value); }
  bool number_unsigned(number_unsigned_t value) override { return builder_.number_unsigned(value); }
  bool number_float(number_float_t value, const string_t& text) override {
    return builder_.number_float(value, text);
  }
  bool string(string_t& value) override { return builder_.string(value); }
  bool binary(binary_t& value) override { return builder_.binary(value); }
  bool start_object(std::size_t elements) override {
    if (!enter()) return false;
    keys_.emplace_back();
    return builder_.start_object(elements);
  }
  bool key(string_t& value) override {
    if (!keys_.back().insert(value).second) return fail(fmt::format("key \"{}\" appears twice", value));
    return builder_.key(value);
  }
  bool end_object() override {
    keys_.pop_back();
    --depth_;
    return builder_.end_object();
  }
  bool start_array(std::size_t elements) override { return enter() && builder_.start_array(elements); }
  bool end_array() override {
    --depth_;
    return builder_.end_array();
  }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    position_ = position;
    const std::string_view text = error.what();
    // The library's message repeats input bytes; keep the plain part before them.
    const std::size_t cut = text.find("; last read");
    return fail(
        fmt::format("not valid JSON: {}", text.substr(text.find("] ") + 2, cut - text.find("] ") - 2)));
  }

  const std::string& reason() const { return reason_; }
  std::size_t position() const { return position_; }

 private:
  bool enter() {
    if (++depth_ > max_depth_) return fail(fmt::format("nesting deeper than {} levels", max_depth_));
    return true;
  }
  bool fail(std::string reason) {
    if (reason_.empty()) reason_ = std::move(reason);
    return false;
  }

  nlohmann::detail::json_sax_dom_parser<json> builder_;
  int max_depth_;
  int depth_ = 0;
  std::vector<std::set<std::string>> keys_;
  std::string reason_;
  std::size_t position_ = 0;
};

}  // namespace

json parse_json_strict(std::string_view text, std::string_view path, ExitCode code, int max_depth) {
  if (!is_valid_utf8(text))
    throw FormatError(code, std::string(path), FormatError::kNoOffset, "text is not UTF-8");
  json root;
  StrictBuilder builder(root, max_depth);
  if (!json::sax_parse(text, &builder)) {
    throw FormatError(code, std::string(path),
                      builder.position() == 0 ? FormatError::kNoOffset : builder.position(),
                      builder.reason().empty() ? "not valid JSON" : builder.reason());
  }
  return root;
}

std::string string_member(const json& value, const char* key, std::string_view fallback) {
  const auto found = value.is_object() ? value.find(key) : value.end();
  if (found == value.end() || !found->is_string()) return std::string(fallback);
  return found->get<std::string>();
}

}  // namespace llmq
