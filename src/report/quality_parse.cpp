// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "llmq/core/error.hpp"
#include "llmq/core/json.hpp"
#include "llmq/core/json_schema.hpp"
#include "llmq/embedded/schemas.hpp"
#include "llmq/report/quality_report.hpp"

#include "report/quality_fields.hpp"

namespace llmq {
namespace {

using nlohmann::json;

/// @throws Error(validation) for the first value the schema refuses.
void check_schema(const json& document, const std::string& path) {
  static const JsonSchema schema(embedded_qreport_schema());
  const auto failure = schema.check(document);
  if (!failure) return;
  const std::string where = failure->pointer().empty() ? "the document" : failure->pointer();
  const std::string what =
      failure->kind == SchemaFailure::Kind::missing_member ? fmt::format("\"{}\" is missing", failure->name)
      : failure->kind == SchemaFailure::Kind::unknown_member
          ? fmt::format("\"{}\" is unknown here", failure->name)
          : fmt::format("expected {}, found {}", schema.described(failure->path), failure->shown);
  throw Error(ExitCode::validation, fmt::format("{}: {}: {}", path, where, what),
              "docs/formats/qreport.md describes the format");
}

std::optional<double> number_or_none(const json& value) {
  return value.is_null() ? std::nullopt : std::optional(value.get<double>());
}

void read_metrics(const json& metrics, QualityResult& result) {
  const auto read = [&](const char* name, double& value) { value = metrics.at(name).get<double>(); };
  for_each_perplexity(result.metrics, read);
  for_each_divergence(result.metrics, read);
  result.metrics.scores = metrics.at("scores").get<std::uint64_t>();
  result.chunks = metrics.at("chunks").get<std::uint64_t>();
  result.effective_bpw = metrics.at("effective_bpw").get<double>();
  result.compression_ratio = metrics.at("compression_ratio").get<double>();
}

LayerError read_layer(const json& layer) {
  return {layer.at("layer_name"), layer.at("mse"),    layer.at("max_error"),
          layer.at("bit_width"),  layer.at("cosine"), number_or_none(layer.at("weighted_error"))};
}

TensorError read_tensor(const json& tensor) {
  return {tensor.at("name"),    tensor.at("type"),
          tensor.at("weights"), tensor.at("bit_width"),
          tensor.at("mse"),     tensor.at("max_error"),
          tensor.at("cosine"),  number_or_none(tensor.at("weighted_error"))};
}

SentenceReport read_sentence(const json& sentence) {
  SentenceReport report{
      sentence.at("chunk"), sentence.at("position"), sentence.at("kld"), sentence.at("before"), {}};
  for (const json& token : sentence.at("tokens")) {
    report.tokens.push_back({token.at("text"), token.at("kld"), token.at("p_original"),
                             token.at("p_quantized"), token.at("top_original"), token.at("top_quantized")});
  }
  return report;
}

QualityIdentity read_identity(const json& identity) {
  return {identity.at("version"),      identity.at("original_hash"), identity.at("quantized_hash"),
          identity.at("dataset_hash"), identity.at("ctx"),           identity.at("chunks")};
}

}  // namespace

QualityResult parse_quality_report(std::string_view text, const std::string& path) {
  const json document = parse_json_strict(text, path, ExitCode::validation);
  check_schema(document, path);
  QualityResult result;
  result.original = document.at("original_model").get<std::string>();
  result.quantized = document.at("quantized_model").get<std::string>();
  result.identity = read_identity(document.at("identity"));
  read_metrics(document.at("metrics"), result);
  result.file_bytes = document.at("file_size");
  result.ctx = document.at("ctx");
  result.dataset = document.at("dataset");
  for (const json& layer : document.at("layer_errors")) result.layer_errors.push_back(read_layer(layer));
  for (const json& tensor : document.at("tensor_errors")) result.tensor_errors.push_back(read_tensor(tensor));
  for (const json& part : document.at("kld_along_positions")) {
    result.positions.push_back({part.at("begin"), part.at("end"), {part.at("kld"), part.at("kld_error")}});
  }
  for (const json& sentence : document.at("worst_sentences"))
    result.sentences.push_back(read_sentence(sentence));
  result.coherence_score = number_or_none(document.at("coherence_score"));
  result.timestamp = document.at("timestamp");
  result.seconds = document.at("duration_seconds");
  const json& passes = document.at("passes");
  result.passes = {passes.at("original_cpu_seconds"), passes.at("candidates_cpu_seconds"),
                   passes.value("original_from_base", false)};
  return result;
}

}  // namespace llmq
