// Where a tensor stands in a model, by its GGUF name. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace llmq {

/// "blk.3.ffn_down.weight" -> layer 3, "ffn_down"; "output.weight" -> no layer, "output".
struct TensorPlace {
  std::optional<std::uint32_t> layer;
  std::string role;
};
TensorPlace place_of(std::string_view name);

/// The place of a role as data runs through a layer; unknown ones come last.
std::size_t order_of_role(std::string_view role);
/// Each once, as data runs through a layer, then by name.
std::vector<std::string> in_order(std::vector<std::string> roles);

}  // namespace llmq
