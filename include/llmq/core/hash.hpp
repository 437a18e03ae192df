// Content hashes: SHA-256 for identities that users see and compare, XXH3 for fast checksums of written
// units. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace llmq {

/// Incremental SHA-256.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  Sha256& update(std::span<const std::byte> bytes);
  Sha256& update(std::string_view text) { return update(std::as_bytes(std::span(text))); }
  /// Adds a field with its length in front, so that ("ab","c") and ("a","bc") differ.
  Sha256& field(std::string_view text);
  Sha256& field(std::uint64_t value);
  /// Finishes; lower-case hex, 64 characters. The object is spent afterwards.
  std::string hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256_hex(std::string_view bytes);

/// Incremental SHA-1: no protection against who means harm, but the names that git gives to contents.
class Sha1 {
 public:
  Sha1();
  ~Sha1();

  Sha1& update(std::span<const std::byte> bytes);
  Sha1& update(std::string_view text) { return update(std::as_bytes(std::span(text))); }
  /// Finishes; lower-case hex, 40 characters. The object is spent afterwards.
  std::string hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// XXH3, 64 bits, seed 0.
std::uint64_t checksum64(std::span<const std::byte> bytes) noexcept;

}  // namespace llmq
