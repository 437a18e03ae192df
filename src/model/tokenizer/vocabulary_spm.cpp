// tokenizer.model: the library parses the file; ids, texts, scores and kinds are all we take from it.
// SPDX-License-Identifier: Apache-2.0
#include <sentencepiece_processor.h>

#include <fmt/format.h>

#include "llmq/core/error.hpp"
#include "llmq/core/file.hpp"
#include "model/tokenizer/companion_files.hpp"

namespace llmq {
namespace {
constexpr std::uint64_t kMaxModelBytes = std::uint64_t{256} << 20;
constexpr int kMaxPieces = 1 << 24;
}  // namespace

Vocabulary read_spm_vocabulary(const std::filesystem::path& directory, std::uint32_t vocab_size) {
  const std::filesystem::path path = directory / "tokenizer.model";
  sentencepiece::SentencePieceProcessor processor;
  const auto status = processor.LoadFromSerializedProto(read_file(path, kMaxModelBytes));
  const int pieces = status.ok() ? processor.GetPieceSize() : 0;
  if (!status.ok() || pieces <= 0 || pieces > kMaxPieces) {
    throw FormatError(ExitCode::validation, path.string(), FormatError::kNoOffset, "is not a SentencePiece model",
                      "The tokenizer file is damaged; fetch it again");
  }
  Vocabulary vocabulary;
  vocabulary.model = "llama";
  for (int id = 0; id < pieces; ++id) {
    if (vocab_size > 0 && static_cast<std::uint32_t>(id) >= vocab_size) break;   // the model has no row for it
    vocabulary.tokens.push_back(processor.IdToPiece(id));
    vocabulary.scores.push_back(processor.GetScore(id));
    vocabulary.types.push_back(processor.IsUnknown(id)   ? TokenType::unknown
                               : processor.IsControl(id) ? TokenType::control
                               : processor.IsUnused(id)  ? TokenType::unused
                               : processor.IsByte(id)    ? TokenType::byte
                                                         : TokenType::normal);
  }
  pad_vocabulary(vocabulary, vocab_size, true);
  if (processor.bos_id() >= 0) vocabulary.bos = processor.bos_id();
  if (processor.eos_id() >= 0) vocabulary.eos = processor.eos_id();
  if (processor.unk_id() >= 0) vocabulary.unk = processor.unk_id();
  apply_added_tokens(directory, vocabulary);
  apply_special_settings(directory, vocabulary);
  return vocabulary;
}

}  // namespace llmq
