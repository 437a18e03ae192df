#include "hub/names.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace llmq::hub {
namespace {

constexpr std::size_t kMaxRevisionBytes = 200;
constexpr std::size_t kMaxFileNameBytes = 255;

bool is_revision_part(std::string_view part) {
  return !part.empty() && part.front() != '.' && part.front() != '-' && part.back() != '.' &&
         part.find("..") == std::string_view::npos && std::all_of(part.begin(), part.end(), [](char c) {
           return is_alphanumeric(c) || c == '.' || c == '_' || c == '-' || c == '+';
         });
}

}  // namespace

bool is_hex(std::string_view text, std::size_t digits) noexcept {
  return text.size() == digits && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

bool is_revision(std::string_view text) noexcept {
  if (text.empty() || text.size() > kMaxRevisionBytes) return false;
  while (true) {
    const std::size_t slash = text.find('/');
    if (!is_revision_part(text.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    text.remove_prefix(slash + 1);
  }
}

bool is_plain_file_name(std::string_view text) noexcept {
  if (text.empty() || text.size() > kMaxFileNameBytes || text == "." || text == "..") return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return c > ' ' && c < 127 && c != '/' && c != '\\'; });
}

std::string url_part(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    if (is_alphanumeric(c) || c == '.' || c == '_' || c == '-' || c == '~')
      encoded.push_back(c);
    else
      encoded += fmt::format("%{:02X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
  }
  return encoded;
}

std::string shown(std::string_view text, std::size_t most) {
  std::string out;
  for (const char c : text.substr(0, most)) out.push_back(c >= ' ' && c < 127 && c != '"' ? c : '?');
  if (text.size() > most) out += "...";
  return out;
}

}  // namespace llmq::hub
