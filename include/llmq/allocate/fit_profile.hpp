// A profile against the tensors of one model: what it fixes, what it limits, and what does not fit. Pure.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "llmq/allocate/profile.hpp"

namespace llmq {

/// One tensor of a model, as profiles see it.
struct ProfileTensor {
  std::string name;         ///< GGUF name, "blk.0.attn_q.weight"
  std::int32_t layer = -1;  ///< -1 outside the layers
  std::uint64_t ne0 = 0;    ///< weights of a row
  std::uint64_t rows = 1;
  bool quantizable = false;          ///< false: kept as it is (norms, vectors), takes `kept_bytes`
  std::uint64_t original_bytes = 0;  ///< in the model
  std::uint64_t kept_bytes = 0;      ///< in the output, of tensors that are not quantized

  std::uint64_t elements() const noexcept { return ne0 * rows; }
};

/// What a profile says about one tensor.
struct FittedTensor {
  std::optional<GgmlType> type;           ///< pinned to exactly this
  std::optional<GgmlType> fallback_from;  ///< the pin was this, which does not divide the rows
  std::optional<std::size_t> group;       ///< index into ProfileFit::groups
  bool is_protected = false;
};

/// The quantizable tensors that one assignment decides: together they take at most `most_bytes`, pinned ones
/// included.
struct FittedGroup {
  std::string pointer;  ///< "/layer_assignments/3"
  std::vector<std::size_t> tensors;
  std::uint64_t most_bytes = 0;
};

struct ProfileProblem {
  std::string pointer;  ///< JSON pointer into the profile
  std::string tensor;   ///< GGUF name; empty where no single tensor is meant
  std::string message;
};

struct ProfileFit {
  std::vector<FittedTensor> tensors;  ///< one a tensor of the model, same order
  std::vector<FittedGroup> groups;    ///< in the order of assignments; assignments that decide nothing: none
  std::vector<std::int32_t> protected_layers;  ///< ascending
  /// Most bytes of all quantizable tensors, by the profile's targets; head and padding of a file come on top.
  std::optional<std::uint64_t> most_bytes;
  std::vector<std::string> notes;        ///< row fallbacks of pins, in words
  std::vector<ProfileProblem> problems;  ///< in the order of the profile; empty: it fits
};

ProfileFit fit_profile(const Profile& profile, std::span<const ProfileTensor> tensors);

/// "/layer_assignments/3/bit_width: blk.0.ffn_up.weight: ...".
std::string text_of(const ProfileProblem& problem);
/// @param profile  its name, for the message. @throws Error(profile) with the first problem and how many more
/// there are; the suggestion is the command that lists all.
void require_fit(const ProfileFit& fit, std::string_view profile);

/// The smallest type that bit allocation may give to rows of this length: IQ1_S, else IQ4_NL, else F16.
GgmlType smallest_type(std::uint64_t row_elems) noexcept;

}  // namespace llmq
