// Limits of the GGUF container as this project reads and writes it. docs/formats/gguf.md says where each is
// from. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace llmq::gguf {

inline constexpr char kMagic[4] = {'G', 'G', 'U', 'F'};
inline constexpr std::uint32_t kVersion = 3;  // written; 2 has the same layout and is read too
inline constexpr std::uint32_t kDefaultAlignment = 32;
inline constexpr std::uint32_t kMaxAlignment = 1 << 20;
inline constexpr std::uint64_t kMaxNameBytes = 63;  // tensor names
inline constexpr std::uint64_t kMaxKeyBytes = 65535;
inline constexpr std::uint64_t kMaxStringBytes = std::uint64_t{1} << 30;
inline constexpr std::uint64_t kMaxArrayElements = std::uint64_t{1} << 30;
inline constexpr std::uint32_t kMaxDims = 4;
inline constexpr std::uint64_t kMinPairBytes = 8 + 1 + 4 + 1;  // shortest key/value pair
inline constexpr std::uint64_t kMinTensorInfoBytes = 8 + 4 + 8 + 4 + 8;
inline constexpr std::uint64_t kMaxTensorBytes = std::uint64_t{1} << 62;

}  // namespace llmq::gguf
