// The only file that sees libsentencepiece: it parses the model file, nothing more (the library's own encoder
// drops double spaces, which GGUF runtimes keep). SPDX-License-Identifier: Apache-2.0
#include <sentencepiece_processor.h>

#include "model/sentencepiece/piece_table.hpp"

extern "C" __attribute__((visibility("default"))) void llmq_parse_pieces(std::string_view bytes,
                                                                         llmq::PieceTable& table) {
  constexpr int kMaxPieces = 1 << 24;
  sentencepiece::SentencePieceProcessor processor;
  if (!processor.LoadFromSerializedProto(absl::string_view(bytes.data(), bytes.size())).ok()) return;
  const int count = processor.GetPieceSize();
  if (count <= 0 || count > kMaxPieces) return;
  using Kind = llmq::Piece::Kind;
  for (int id = 0; id < count; ++id) {
    table.pieces.push_back({processor.IdToPiece(id), processor.GetScore(id),
                            processor.IsUnknown(id)   ? Kind::unknown
                            : processor.IsControl(id) ? Kind::control
                            : processor.IsUnused(id)  ? Kind::unused
                            : processor.IsByte(id)    ? Kind::byte
                                                      : Kind::normal});
  }
  table.bos = processor.bos_id();
  table.eos = processor.eos_id();
  table.unk = processor.unk_id();
}
