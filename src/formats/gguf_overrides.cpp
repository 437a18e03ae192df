#include "llmq/formats/gguf_overrides.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/text.hpp"

namespace llmq {
namespace {

constexpr std::size_t kMaxKeyBytes = 255;

/// What the file itself decides: layout, meaning of its bytes, provenance.
constexpr std::string_view kFixedKeys[] = {
    "general.alignment", "general.architecture",         "general.type",
    "general.file_type", "general.quantization_version", "tokenizer.ggml.model"};
constexpr std::string_view kFixedPrefixes[] = {"GGUF.", "split.", "llm_quantize.", "quantize."};
/// Below the architecture's name: what the shapes of the tensors are.
constexpr std::string_view kShapeKeys[] = {"block_count",
                                           "embedding_length",
                                           "feed_forward_length",
                                           "attention.head_count",
                                           "attention.head_count_kv",
                                           "attention.key_length",
                                           "attention.value_length",
                                           "rope.dimension_count",
                                           "expert_count",
                                           "vocab_size"};

[[noreturn]] void refuse(std::string_view text, std::string_view reason, std::string suggestion) {
  throw Error(ExitCode::invalid_arguments, fmt::format("--override-kv {}: {}", text, reason),
              std::move(suggestion));
}

constexpr const char* kForm = "Write KEY=TYPE:VALUE with TYPE int, float, bool or str";

template <typename Number>
Number parse_number(std::string_view text, std::string_view value, std::string_view what) {
  Number number{};
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc{} || end != value.data() + value.size())
    refuse(text, fmt::format("\"{}\" is not {}", value, what), kForm);
  return number;
}

bool is_fixed(std::string_view key, const GgufMetadata& metadata) {
  if (std::find(std::begin(kFixedKeys), std::end(kFixedKeys), key) != std::end(kFixedKeys)) return true;
  for (const std::string_view prefix : kFixedPrefixes) {
    if (key.starts_with(prefix)) return true;
  }
  const std::string architecture = metadata.string("general.architecture").value_or("") + ".";
  if (!key.starts_with(architecture)) return false;
  key.remove_prefix(architecture.size());
  return std::find(std::begin(kShapeKeys), std::end(kShapeKeys), key) != std::end(kShapeKeys);
}

/// `value` in the number format of `present`; nothing where it is of another kind or does not fit.
std::optional<GgufValue> converted(const MetadataOverride& change, const GgufValue& present) {
  return std::visit(
      [&](const auto& held) -> std::optional<GgufValue> {
        using Held = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<Held, bool> || std::is_same_v<Held, std::string>) {
          if (const auto* value = std::get_if<Held>(&change.value)) return GgufValue(*value);
        } else if constexpr (std::is_integral_v<Held>) {
          const auto* value = std::get_if<std::int64_t>(&change.value);
          if (value != nullptr && std::in_range<Held>(*value)) return GgufValue(static_cast<Held>(*value));
        } else if constexpr (std::is_floating_point_v<Held>) {
          if (const auto* value = std::get_if<double>(&change.value))
            return GgufValue(static_cast<Held>(*value));
        }
        return std::nullopt;
      },
      present);
}

GgufValue new_value(const MetadataOverride& change) {
  return std::visit(
      [](const auto& held) -> GgufValue {
        using Held = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<Held, std::int64_t>) {
          if (std::in_range<std::uint32_t>(held)) return static_cast<std::uint32_t>(held);
          return held;
        } else if constexpr (std::is_same_v<Held, double>) {
          return static_cast<float>(held);
        } else {
          return held;
        }
      },
      change.value);
}

/// What the key holds, in the words of the option.
std::string_view kind_name(const GgufValue& value) {
  return std::visit(
      [](const auto& held) -> std::string_view {
        using Held = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<Held, bool>) return "bool";
        if constexpr (std::is_same_v<Held, std::string>) return "str";
        if constexpr (std::is_integral_v<Held>) return "int";
        if constexpr (std::is_floating_point_v<Held>) return "float";
        return "a list";
      },
      value);
}

}  // namespace

std::string MetadataOverride::description() const {
  if (const auto* number = std::get_if<std::int64_t>(&value)) return fmt::format("{}=int:{}", key, *number);
  if (const auto* number = std::get_if<double>(&value)) return fmt::format("{}=float:{}", key, *number);
  if (const auto* flag = std::get_if<bool>(&value)) return fmt::format("{}=bool:{}", key, *flag);
  return fmt::format("{}=str:{}", key, std::get<std::string>(value));
}

MetadataOverride parse_metadata_override(std::string_view text) {
  const std::size_t equals = text.find('=');
  const std::size_t colon = text.find(':', equals == std::string_view::npos ? 0 : equals);
  if (equals == std::string_view::npos || colon == std::string_view::npos)
    refuse(text, "not of the form KEY=TYPE:VALUE", kForm);
  MetadataOverride change;
  change.key = text.substr(0, equals);
  const bool printable =
      std::all_of(change.key.begin(), change.key.end(), [](char c) { return c > ' ' && c < '\x7f'; });
  if (change.key.empty() || change.key.size() > kMaxKeyBytes || !printable)
    refuse(text, fmt::format("a key has 1 to {} visible ASCII characters", kMaxKeyBytes), kForm);
  const std::string_view type = text.substr(equals + 1, colon - equals - 1);
  const std::string_view value = text.substr(colon + 1);
  if (type == "int") {
    change.value = parse_number<std::int64_t>(text, value, "an integer");
  } else if (type == "float") {
    change.value = parse_number<double>(text, value, "a number");
    if (!(std::fabs(std::get<double>(change.value)) <= std::numeric_limits<float>::max()))
      refuse(text, fmt::format("{} is not a finite float", value), kForm);
  } else if (type == "bool") {
    if (value != "true" && value != "false") refuse(text, "a bool is true or false", kForm);
    change.value = value == "true";
  } else if (type == "str") {
    if (!is_valid_utf8(value)) refuse(text, "the text is not UTF-8", kForm);
    change.value = std::string(value);
  } else {
    refuse(text, fmt::format("unknown type \"{}\"", type), kForm);
  }
  return change;
}

void apply_metadata_overrides(std::span<const MetadataOverride> overrides, GgufMetadata& metadata) {
  for (const MetadataOverride& change : overrides) {
    if (is_fixed(change.key, metadata)) {
      refuse(change.description(), "this key says what the tensors and bytes of the file are",
             "Leave it out: its value follows from the model and the level");
    }
    const GgufValue* present = metadata.find(change.key);
    if (present == nullptr) {
      metadata.set(change.key, new_value(change));
      continue;
    }
    std::optional<GgufValue> value = converted(change, *present);
    if (!value) {
      refuse(change.description(), fmt::format("the key holds {}", kind_name(*present)),
             "Give a value of that type that fits its number format");
    }
    metadata.set(change.key, std::move(*value));
  }
}

}  // namespace llmq
