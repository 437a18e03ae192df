#include "hub/content.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "llmq/core/hash.hpp"

namespace llmq::hub {
namespace {

constexpr std::uint64_t kPieceBytes = std::uint64_t{4} << 20;
constexpr std::size_t kSha256Digits = 64;

template <typename Hash>
std::string hash_pieces(const File& file, Hash& hash, const std::function<bool()>& stop) {
  const std::uint64_t size = file.size();
  std::vector<std::byte> piece;
  for (std::uint64_t at = 0; at < size; at += piece.size()) {
    if (stop()) return {};
    piece.resize(static_cast<std::size_t>(std::min(kPieceBytes, size - at)));
    file.read_at(piece, at);
    hash.update(piece);
  }
  return hash.hex();
}

}  // namespace

std::string content_hash(const File& file, const std::string& like, const std::function<bool()>& stop) {
  if (like.size() == kSha256Digits) {
    Sha256 hash;
    return hash_pieces(file, hash, stop);
  }
  Sha1 hash;
  const std::string head = fmt::format("blob {}", file.size());
  hash.update(std::string_view(head.c_str(), head.size() + 1));  // with the zero behind it
  return hash_pieces(file, hash, stop);
}

}  // namespace llmq::hub
