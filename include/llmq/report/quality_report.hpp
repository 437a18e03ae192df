// What became of a model when it was quantized, as plain numbers, and their forms: JSON
// (docs/formats/qreport.md), CSV and one HTML page that needs nothing beside itself. SPDX-License-Identifier:
// Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "llmq/quality/score_summary.hpp"

namespace llmq {

struct TensorError {
  std::string name;  ///< "blk.0.attn_q.weight"
  std::string type;  ///< "Q4_K"
  std::uint64_t weights = 0;
  double bit_width = 0;
  double mse = 0;
  double max_error = 0;
  double cosine = 1;
  /// sum w e^2 / sum w x^2, w = mean a^2 of the column on the evaluation text: the part of the product's
  /// energy that is lost. None where inputs are not measured (embeddings, the output matrix, norms).
  std::optional<double> weighted_error;
};

struct LayerError {
  std::string layer_name;  ///< "model.layers.0.self_attn", "model.layers.0.mlp"
  double mse = 0;
  double max_error = 0;
  double bit_width = 0;
  double cosine = 1;
  std::optional<double> weighted_error;
};

/// A token of a sentence, and what both models said before they saw it. Tokens that make up one character
/// stand together, with the divergence of the worst of them.
struct SentenceToken {
  std::string text;
  double kld = 0;
  double p_original = 0, p_quantized = 0;   ///< of the token
  std::string top_original, top_quantized;  ///< the most likely tokens
};

/// A sentence of the evaluation text where the models differ much.
struct SentenceReport {
  std::uint64_t chunk = 0;
  std::uint64_t position = 0;  ///< of its first token in the chunk
  double kld = 0;              ///< mean over its tokens
  std::string before;          ///< the text in front of it, cut
  std::vector<SentenceToken> tokens;
};

/// What a report is of: equal ones have equal figures.
struct QualityIdentity {
  std::string version;         ///< of the program
  std::string original_hash;   ///< content of weights, settings and tokenizer: "sha256:..."
  std::string quantized_hash;  ///< of the file's bytes: "sha256:..."
  std::string dataset_hash;    ///< of the text's bytes: "sha256:..."
  std::uint64_t ctx = 0;       ///< asked for; may be above the model's context
  std::uint64_t chunks = 0;    ///< asked for at most; the text may give fewer

  friend bool operator==(const QualityIdentity&, const QualityIdentity&) = default;
};

/// CPU time of all ranks and threads on the models: reading, decoding, computing.
struct PassSeconds {
  double original = 0;
  double candidates = 0;   ///< of all that went through together
  bool from_base = false;  ///< the original's states were read, not computed: it has only its output matrix
};

struct QualityResult {
  std::filesystem::path original;
  std::filesystem::path quantized;
  QualityIdentity identity;
  QualityMetrics metrics;
  double effective_bpw = 0;
  double compression_ratio = 0;
  std::uint64_t file_bytes = 0;
  std::uint64_t chunks = 0;
  std::uint64_t ctx = 0;
  std::string dataset;
  std::vector<LayerError> layer_errors;    ///< empty unless asked for
  std::vector<TensorError> tensor_errors;  ///< likewise
  std::vector<PositionDivergence> positions;
  std::vector<SentenceReport> sentences;  ///< the worst first
  std::optional<double> coherence_score;
  std::string timestamp;  ///< when it was computed: UTC, ISO 8601
  double seconds = 0;
  PassSeconds passes;
};

/// The groups of figures that `quality compare` shows.
struct MetricSet {
  bool perplexity = true;
  bool size = true;
  bool bpw = true;
  bool kld = true;
  /// False when the figures follow from the files alone and no model has to run.
  bool need_pass() const noexcept { return perplexity || kld; }
};

struct CompareResult {
  std::filesystem::path original;
  std::vector<QualityResult> candidates;
  MetricSet metrics;
  std::uint64_t chunks = 0;  ///< 0 when no model ran
  std::uint64_t ctx = 0;
  std::string dataset;
  std::string timestamp;
  double seconds = 0;
  PassSeconds passes;
};

/// The contract's objects. `warnings` go into the document as they are.
nlohmann::ordered_json quality_json(const QualityResult& result, const std::vector<std::string>& warnings);
nlohmann::ordered_json compare_json(const CompareResult& result, const std::vector<std::string>& warnings);
/// A header and a row a candidate.
std::string compare_csv(const CompareResult& result);

/// Reads what quality_json has written. @throws FormatError(validation) for what the schema refuses, with a
/// JSON pointer.
QualityResult parse_quality_report(std::string_view text, const std::string& path);

/// One page. Equal results give equal bytes.
std::string quality_html(const QualityResult& result);
std::string compare_html(const CompareResult& result);

}  // namespace llmq
