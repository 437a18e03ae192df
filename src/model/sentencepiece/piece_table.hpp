// What the sentencepiece module hands over: the pieces of a tokenizer.model, parsed by the library.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace llmq {

struct Piece {
  enum class Kind { normal, unknown, control, unused, byte };
  std::string text;
  float score = 0;
  Kind kind = Kind::normal;
};

struct PieceTable {
  std::vector<Piece> pieces;
  int bos = -1, eos = -1, unk = -1;  ///< -1: none
};

/// Entry of the module: empty table when the bytes are no SentencePiece model.
using ParsePieces = void (*)(std::string_view bytes, PieceTable& table);
inline constexpr const char* kSentencePieceModule = "libllmq_model_sentencepiece.so";
inline constexpr const char* kParsePiecesEntry = "llmq_parse_pieces";

}  // namespace llmq
