// 8-bit weights of a W8A8 directory and their scales (docs/formats/w8a8.md). SPDX-License-Identifier:
// Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "llmq/formats/safetensors.hpp"

namespace llmq {

/// Scales of the weights that are codes, read at once: one number a row.
class StoredCodes {
 public:
  /// Takes up the scales of `weight`, an I8 tensor [out, in] of the checkpoint, and adds their names to
  /// `used`.
  /// @throws Error(validation) for scales that are missing, of another shape, or not finite.
  void add(const SafetensorsCheckpoint& checkpoint, const SafetensorsTensor& weight,
           std::set<std::string_view>& used);

  bool empty() const noexcept { return scales_.empty(); }
  bool contains(const std::string& weight) const { return scales_.contains(weight); }
  std::span<const float> scales(const std::string& weight) const { return scales_.at(weight).rows; }
  /// 0: every token has its own.
  float input_scale(const std::string& weight) const { return scales_.at(weight).input; }

  /// code x scale of values [first, first + out.size()) of a weight.
  void decode(const SafetensorsCheckpoint& checkpoint, const SafetensorsTensor& weight, std::uint64_t first,
              std::span<float> out) const;

 private:
  struct Scales {
    std::vector<float> rows;
    float input = 0;
  };
  std::map<std::string, Scales> scales_;  ///< by the weight's name
};

}  // namespace llmq
