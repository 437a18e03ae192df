// One comparison: a type, rows, with or without importance. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "llmq/core/block_types.hpp"

#include "codecs/peer.hpp"
#include "codecs/rows.hpp"

namespace llmq::bench {

/// Importance that both sides get.
enum class Importance : std::uint8_t {
  none,  ///< none; ones for a type that cannot be encoded without
  given
};

/// A figure of the reference and ours.
struct Pair {
  double theirs = 0.0;
  double ours = 0.0;
  /// ours / theirs; 1 when both are 0, as for rows that a type holds exactly.
  double ratio() const noexcept;
};

struct Cell {
  GgmlType type = GgmlType::F32;
  std::string rows;
  std::string importance;     ///< "none", "ones" or "given"
  Pair error;                 ///< sum w (x - y)^2 with the reference's own w
  Pair importance_error;      ///< sum a (x - y)^2 with the importance a; equal to 0 without
  Pair square_error;          ///< sum (x - y)^2
  Pair encode;                ///< weights a second of one thread
  Pair decode;                ///< the same; ours 0 without a decoder of ours
  bool same_decoding = true;  ///< our decoder returns the reference's values
};

/// Both sides encode the same rows; the reference decodes both. Speeds are the best CPU times; `seconds`
/// bounds the repetitions of each of the two comparisons, one of which is always made.
Cell measure(const Peer& peer, GgmlType type, const Rows& rows, Importance importance, double seconds);

}  // namespace llmq::bench
