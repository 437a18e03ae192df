#include "hub/url.hpp"

#include <algorithm>

#include "llmq/core/text.hpp"

#include "hub/names.hpp"

namespace llmq::hub {
namespace {

constexpr std::string_view kSecure = "https://";
constexpr std::string_view kPlain = "http://";

bool starts_with_ignoring_case(std::string_view text, std::string_view start) {
  return text.size() >= start.size() && equals_ignore_case(text.substr(0, start.size()), start);
}

/// "https://" or "http://", or empty.
std::string_view scheme_of(std::string_view url) {
  if (starts_with_ignoring_case(url, kSecure)) return kSecure;
  if (starts_with_ignoring_case(url, kPlain)) return kPlain;
  return {};
}

bool is_unambiguous(std::string_view url) {
  return std::all_of(url.begin(), url.end(), [](char c) { return c > ' ' && c < 127 && c != '\\'; });
}

/// Between scheme and path.
std::string_view authority_of(std::string_view url, std::string_view scheme) {
  const std::string_view rest = url.substr(scheme.size());
  return rest.substr(0, rest.find_first_of("/?#"));
}

bool is_authority(std::string_view text) {
  return !text.empty() && text.front() != ':' && std::all_of(text.begin(), text.end(), [](char c) {
    return is_alphanumeric(c) || c == '.' || c == '-' || c == '_' || c == ':' || c == '[' || c == ']';
  });
}

}  // namespace

std::string origin_of(std::string_view url) {
  const std::string_view scheme = scheme_of(url);
  if (scheme.empty() || !is_unambiguous(url)) return {};
  std::string authority = to_lower(authority_of(url, scheme));
  if (!is_authority(authority)) return {};
  const std::size_t colon = authority.rfind(':');
  const bool has_port = colon != std::string::npos && authority.find(']', colon) == std::string::npos;
  if (!has_port) authority += scheme == kSecure ? ":443" : ":80";
  return std::string(scheme) + authority;
}

std::string redirected_url(std::string_view base, std::string_view location) {
  const std::string_view scheme = scheme_of(base);
  const std::string root = std::string(scheme) + std::string(authority_of(base, scheme));
  std::string target;
  if (location.empty()) return {};
  if (location.find("://") < location.find_first_of("/?#")) {
    target = location;
  } else if (location.starts_with("//")) {
    target = std::string(scheme.substr(0, scheme.size() - 2)) + std::string(location);
  } else if (location.front() == '/') {
    target = root + std::string(location);
  } else {
    const std::string_view path = base.substr(0, base.find_first_of("?#"));
    const std::size_t slash = path.rfind('/');
    target =
        (slash < root.size() ? root + "/" : std::string(path.substr(0, slash + 1))) + std::string(location);
  }
  if (origin_of(target).empty()) return {};
  if (scheme == kSecure && scheme_of(target) != kSecure) return {};
  return target;
}

std::string shown_url(std::string_view url) { return shown(url.substr(0, url.find_first_of("?#")), 300); }

}  // namespace llmq::hub
