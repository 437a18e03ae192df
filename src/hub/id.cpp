#include "llmq/hub/id.hpp"

#include <algorithm>

#include "hub/names.hpp"

namespace llmq::hub {
namespace {

constexpr std::size_t kMaxPartBytes = 96;  // the hub's own limit
constexpr std::string_view kFileEndings[] = {".gguf", ".safetensors", ".imatrix", ".dat",
                                             ".json", ".qreport",     ".bin"};

/// Letters, digits, '.', '_' and '-', none of them doubled where the cache's directory names could not tell.
bool is_part(std::string_view text) {
  if (text.empty() || text.size() > kMaxPartBytes) return false;
  const auto allowed = [](char c) { return is_alphanumeric(c) || c == '.' || c == '_' || c == '-'; };
  const auto edge = [](char c) { return is_alphanumeric(c) || c == '_'; };
  return std::all_of(text.begin(), text.end(), allowed) && edge(text.front()) && edge(text.back()) &&
         text.find("--") == std::string_view::npos && text.find("..") == std::string_view::npos;
}

bool ends_like_a_file(std::string_view text) {
  return std::any_of(std::begin(kFileEndings), std::end(kFileEndings),
                     [&](std::string_view ending) { return text.ends_with(ending); });
}

}  // namespace

std::optional<ModelId> parse_model_id(std::string_view text) {
  const std::size_t at = text.find('@');
  const std::string_view repository = text.substr(0, at);
  const std::size_t slash = repository.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  ModelId id;
  id.organization = repository.substr(0, slash);
  id.name = repository.substr(slash + 1);
  if (!is_part(id.organization) || !is_part(id.name) || ends_like_a_file(id.name)) return std::nullopt;
  if (at != std::string_view::npos) {
    id.revision = text.substr(at + 1);
    if (!is_revision(id.revision)) return std::nullopt;
  }
  return id;
}

std::optional<ModelId> remote_model_id(const std::filesystem::path& model) {
  std::error_code error;
  if (std::filesystem::exists(model, error)) return std::nullopt;
  return parse_model_id(model.string());
}

bool is_commit(std::string_view text) noexcept { return is_hex(text, 40); }

}  // namespace llmq::hub
