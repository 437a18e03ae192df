#include "llmq/model/source.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "llmq/core/checked.hpp"
#include "llmq/core/error.hpp"
#include "llmq/formats/gguf.hpp"

#include "model/sources.hpp"

namespace llmq {

const ModelTensor* ModelSource::find(std::string_view name) const noexcept {
  for (const ModelTensor& tensor : tensors()) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

std::uint64_t ModelSource::stored_bytes() const {
  std::uint64_t total = 0;
  for (const ModelTensor& tensor : tensors()) {
    if (tensor.source_name.empty()) continue;
    const std::uint64_t bytes =
        checked_mul(row_bytes(tensor.stored_type, tensor.row_elems()), tensor.rows(), tensor.name);
    total = checked_add(total, bytes, "model size");
  }
  return total;
}

std::string name_of_expert(std::string_view pattern, std::uint64_t expert) {
  const auto at = pattern.find("{}");
  std::string name(pattern);
  return at == std::string_view::npos ? name : name.replace(at, 2, std::to_string(expert));
}

std::uint64_t ModelSource::parameter_count() const {
  std::uint64_t total = 0;
  for (const ModelTensor& tensor : tensors()) {
    if (!tensor.source_name.empty()) total = checked_add(total, tensor.elements(), "parameter count");
  }
  return total;
}

std::unique_ptr<ModelSource> open_model(const std::filesystem::path& model) {
  if (!std::filesystem::exists(model)) {
    throw Error(ExitCode::model_not_found, fmt::format("{}: no such file or directory", model.string()),
                "MODEL must be a Hugging Face directory with config.json and *.safetensors, or a GGUF file");
  }
  if (std::filesystem::is_directory(model)) return open_hf_source(model);
  if (has_gguf_magic(model)) return open_gguf_source(model);
  throw FormatError(
      ExitCode::validation, model.string(), 0, "is neither a model directory nor a GGUF file",
      "MODEL must be a Hugging Face directory with config.json and *.safetensors, or a GGUF file");
}

WeightLoader make_weight_loader(const ModelSource& source) {
  return [&source](std::string_view name, std::span<float> out) {
    const ModelTensor* tensor = source.find(name);
    if (tensor == nullptr) return false;
    if (out.size() != tensor->elements()) {
      throw InternalError(
          fmt::format("{} has {} values, {} were wanted", name, tensor->elements(), out.size()));
    }
    source.read_rows(*tensor, 0, tensor->rows(), RowOrder::hugging_face, out);
    return true;
  };
}

void ModelSource::read_codes(const ModelTensor& tensor, std::uint64_t, std::span<std::int8_t>,
                             std::span<float>) const {
  throw InternalError(fmt::format("{} has no codes", tensor.name));
}

CodeLoader make_code_loader(const ModelSource& source) {
  const auto has_codes = [&](const ModelTensor& tensor) { return source.has_codes(tensor); };
  if (std::none_of(source.tensors().begin(), source.tensors().end(), has_codes)) return {};
  return [&source](std::string_view name, std::span<std::int8_t> codes,
                   std::span<float> scales) -> std::optional<float> {
    const ModelTensor* tensor = source.find(name);
    if (tensor == nullptr || !source.has_codes(*tensor)) return std::nullopt;
    if (codes.size() != tensor->elements() || scales.size() != tensor->rows())
      throw InternalError(fmt::format("{} has other codes than were wanted", name));
    source.read_codes(*tensor, 0, codes, scales);
    return source.input_scale(*tensor);
  };
}

RowLoader make_row_loader(const ModelSource& source) {
  return [&source](std::string_view name, std::uint64_t first_row, std::span<float> out) {
    const ModelTensor* tensor = source.find(name);
    if (tensor == nullptr) return false;
    if (out.size() % tensor->row_elems() != 0)
      throw InternalError(fmt::format("{} values are no rows of {}", out.size(), name));
    source.read_rows(*tensor, first_row, out.size() / tensor->row_elems(), RowOrder::hugging_face, out);
    return true;
  };
}

void embed_tokens(const ModelSource& source, std::span<const TokenId> ids, std::vector<float>& hidden) {
  const ModelTensor& table = *source.find("token_embd.weight");
  const std::size_t width = source.spec().hidden_size;
  hidden.resize(ids.size() * width);
  for (std::size_t token = 0; token < ids.size(); ++token) {
    source.read_rows(table, static_cast<std::uint64_t>(ids[token]), 1, RowOrder::hugging_face,
                     std::span(hidden).subspan(token * width, width));
  }
  if (const float scale = source.spec().embedding_scale; scale != 1) {
    for (float& value : hidden) value *= scale;
  }
}

}  // namespace llmq
