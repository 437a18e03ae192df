// tokenizer.model: the library parses the file; ids, texts, scores and kinds are all we take from it.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"

#include "model/module_loader.hpp"
#include "model/sentencepiece/piece_table.hpp"
#include "model/tokenizer/companion_files.hpp"

namespace llmq {
namespace {

constexpr std::uint64_t kMaxModelBytes = std::uint64_t{256} << 20;

TokenType token_type(Piece::Kind kind) {
  switch (kind) {
    case Piece::Kind::unknown:
      return TokenType::unknown;
    case Piece::Kind::control:
      return TokenType::control;
    case Piece::Kind::unused:
      return TokenType::unused;
    case Piece::Kind::byte:
      return TokenType::byte;
    case Piece::Kind::normal:
      break;
  }
  return TokenType::normal;
}

}  // namespace

Vocabulary read_spm_vocabulary(const std::filesystem::path& directory, std::uint32_t vocab_size) {
  const std::filesystem::path path = directory / "tokenizer.model";
  static const auto parse =
      reinterpret_cast<ParsePieces>(load_module_entry(kSentencePieceModule, kParsePiecesEntry));
  PieceTable table;
  parse(read_file(path, kMaxModelBytes), table);
  if (table.pieces.empty()) {
    throw FormatError(ExitCode::validation, path.string(), FormatError::kNoOffset,
                      "is not a SentencePiece model", "The tokenizer file is damaged; fetch it again");
  }
  Vocabulary vocabulary;
  vocabulary.model = "llama";
  for (const Piece& piece : table.pieces) {
    if (vocab_size > 0 && vocabulary.tokens.size() >= vocab_size) break;  // the model has no row for it
    vocabulary.tokens.push_back(piece.text);
    vocabulary.scores.push_back(piece.score);
    vocabulary.types.push_back(token_type(piece.kind));
  }
  pad_vocabulary(vocabulary, vocab_size, true);
  if (table.bos >= 0) vocabulary.bos = table.bos;
  if (table.eos >= 0) vocabulary.eos = table.eos;
  if (table.unk >= 0) vocabulary.unk = table.unk;
  apply_added_tokens(directory, vocabulary);
  apply_special_settings(directory, vocabulary);
  return vocabulary;
}

}  // namespace llmq
