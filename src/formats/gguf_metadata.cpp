#include <utility>

#include "llmq/formats/gguf.hpp"

namespace llmq {

void GgufMetadata::set(std::string key, GgufValue value) {
  for (Pair& pair : pairs_) {
    if (pair.key == key) {
      pair.value = std::move(value);
      return;
    }
  }
  pairs_.push_back({std::move(key), std::move(value)});
}

const GgufValue* GgufMetadata::find(std::string_view key) const noexcept {
  for (const Pair& pair : pairs_) {
    if (pair.key == key) return &pair.value;
  }
  return nullptr;
}

std::optional<std::string> GgufMetadata::string(std::string_view key) const {
  const GgufValue* value = find(key);
  const auto* text = value == nullptr ? nullptr : std::get_if<std::string>(value);
  return text == nullptr ? std::nullopt : std::optional(*text);
}

std::optional<std::int64_t> GgufMetadata::integer(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  return std::visit(
      [](const auto& held) -> std::optional<std::int64_t> {
        using Held = std::decay_t<decltype(held)>;
        if constexpr (std::is_integral_v<Held> && !std::is_same_v<Held, bool>) {
          if (std::in_range<std::int64_t>(held)) return static_cast<std::int64_t>(held);
        }
        return std::nullopt;
      },
      *value);
}

std::optional<double> GgufMetadata::real(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* single = std::get_if<float>(value)) return static_cast<double>(*single);
  if (const auto* twice = std::get_if<double>(value)) return *twice;
  return std::nullopt;
}

std::optional<bool> GgufMetadata::boolean(std::string_view key) const {
  const GgufValue* value = find(key);
  const auto* flag = value == nullptr ? nullptr : std::get_if<bool>(value);
  return flag == nullptr ? std::nullopt : std::optional(*flag);
}

namespace {
template <typename Element>
const std::vector<Element>* array_of(const GgufValue* value) noexcept {
  const auto* array = value == nullptr ? nullptr : std::get_if<GgufArray>(value);
  return array == nullptr ? nullptr : std::get_if<std::vector<Element>>(array);
}
}  // namespace

const std::vector<std::string>* GgufMetadata::strings(std::string_view key) const noexcept {
  return array_of<std::string>(find(key));
}
const std::vector<float>* GgufMetadata::floats(std::string_view key) const noexcept {
  return array_of<float>(find(key));
}
const std::vector<std::int32_t>* GgufMetadata::ints(std::string_view key) const noexcept {
  return array_of<std::int32_t>(find(key));
}

}  // namespace llmq
