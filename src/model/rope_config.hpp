// Rotary positions as config.json says them, in its older and its newer form. SPDX-License-Identifier:
// Apache-2.0
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "llmq/model/spec.hpp"

#include "model/config_reader.hpp"

namespace llmq {

/// The document with what newer configurations gather in "rope_parameters" at its older places as well:
///   {"rope_theta": T, "partial_rotary_factor": P, rest}        -> rope_theta, partial_rotary_factor,
///   rope_scaling
///   {"full_attention": {as above}, "sliding_attention": {"rope_theta": T}}  -> and rope_local_base_freq
/// @throws FormatError(validation) where both places say something and differ.
nlohmann::json with_rope_keys(nlohmann::json document, const std::string& path);

/// Dimensions of a head that are rotated, by "partial_rotary_factor", in (0, 1].
std::uint32_t read_rotated_dims(const ConfigReader& config, std::uint32_t head_dim, double otherwise);

/// rope_theta and rope_scaling.
void read_rope(const ConfigReader& config, ModelSpec& spec);

/// What the architecture left unread must not matter.
/// @throws Error(unsupported_conversion) for rotations by layer type or of a part of heads where it knows of
/// none.
void check_rope(const ConfigReader& config, const ModelSpec& spec);

}  // namespace llmq
