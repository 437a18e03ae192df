// Profiles: what a user says about bits, layer by layer, and the files that hold it. docs/profiles.md
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "llmq/core/block_types.hpp"

namespace llmq {

inline constexpr double kMinBitWidth = 1.5;
inline constexpr double kMaxBitWidth = 16;
/// bits a weight that the preset `balanced` aims at, and `profile create` where nothing else is said
inline constexpr double kDefaultTargetBpw = 3.5;

enum class ProfileStrategy { attention_high, balanced, compression_max, custom };

/// "Tensors of this role have exactly this type."
struct TensorPin {
  std::string role;  ///< part of the GGUF name below the layer, "attn_v"; `*` is any run of characters
  GgmlType type = GgmlType::F16;
};

struct LayerAssignment {
  std::string layer_name;  ///< "model.layers.0.self_attn", "blk.3.ffn_down.weight"; `*` as above
  double bit_width = 4;    ///< in [kMinBitWidth, kMaxBitWidth]; what it allows: average_limit()
  bool is_protected = false;
  std::vector<TensorPin> tensor_types;  ///< by role, ascending
};

struct Profile {
  std::string id;    ///< letters, digits, dots, dashes, underscores
  std::string name;  ///< as people read it
  std::string description;
  ProfileStrategy strategy = ProfileStrategy::custom;
  std::vector<LayerAssignment> layer_assignments;  ///< the first that names a tensor decides for it
  std::optional<double> target_bpw;                ///< most bits a quantized weight, on average
  std::optional<double> target_compression;        ///< most bytes of tensors, as a fraction of the original
};

std::string_view name_of(ProfileStrategy strategy);

/// Most bits a weight on average that a nominal width allows: a whole number of bits means the K type users
/// know by it (2 -> Q2_K 2.625, 3 -> 3.4375, 4 -> 4.5, 5 -> 5.5, 6 -> 6.5625, 8 -> Q8_0 8.5, 16 -> 16), any
/// other number means itself, never less than the smallest type has (IQ1_S, 1.5625).
double average_limit(double bit_width);

/// @param file  for messages. @throws Error(profile): file, JSON pointer, reason, suggestion.
Profile parse_profile(std::string_view text, std::string_view file);
/// Reads and parses. Local. @throws Error(profile), also for a file that is missing or too large.
Profile read_profile(const std::filesystem::path& file);
/// The members of a .dqprofile in the order of docs/profiles.md; absent targets are null.
nlohmann::ordered_json profile_json(const Profile& profile);
/// The text of a .dqprofile: equal profiles give equal bytes.
std::string profile_text(const Profile& profile);

/// A profile as `profile list` names it.
struct ListedProfile {
  std::string name;  ///< what --profile takes: name of the preset, or of the file without its extension
  std::string description;
  std::filesystem::path path;  ///< empty: a preset
  std::string problem;         ///< not empty: the file cannot be used, and why
};

/// Presets in the contract's order, then the .dqprofile files of `directory` (which may be missing or empty)
/// by name. Local.
std::vector<ListedProfile> list_profiles(const std::filesystem::path& directory);

struct FoundProfile {
  Profile profile;
  std::filesystem::path path;  ///< empty: a preset
};

/// By path, else `NAME.dqprofile` in `directory`, else a preset. Local.
/// @throws Error(profile): not found (the suggestion lists what there is), or invalid.
FoundProfile find_profile(const std::string& name_or_path, const std::filesystem::path& directory);

}  // namespace llmq
